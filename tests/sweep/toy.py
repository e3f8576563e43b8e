"""A program for tests of the sweep: objectives in closed form, without torch.

Run it as `python toy.py key=value …`; `kind` chooses the objective.
"""

import math
import os
import signal
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sota_exp import CONF
from sota_exp.config.compose import HYDRA_TARGETS_WHITELIST
from sota_exp.errors import ConfigError, RunFailed

#: Of the configuration; None for `toy_conf` in the working directory.
FOLDER: Path | None = None

CONFIG = """
defaults:
  - _self_
  - optional mix: none
  - override hydra/sweeper: sota_exp
  - override hydra/job_logging: none
  - override hydra/hydra_logging: sota_exp
seed: 0
kind: bowl
lr: 0.1
wd: 0.001
seconds: 0.0
tracking: {}
hydra:
  searchpath: [CONF]
  sweep:
    dir: sweep
  sweeper:
    confirm: {top: 0}
    conditional:
      mix=mixup|cutmix: {mix.alpha: "interval(0.1, 0.9)"}
      mix=cutmix: {mix.box: "range(1, 5)"}
"""


def bowl(config: DictConfig) -> float:
    """Maximum 0 at lr = 0.1 and lr · wd = 1e-4."""
    time.sleep(config.seconds)
    with (Path(HydraConfig.get().runtime.output_dir) / "values").open("a") as file:
        file.write(f"{config.lr} {config.wd}\n")
    return -((math.log10(config.lr) + 1) ** 2) - (math.log10(config.lr * config.wd) + 4) ** 2


def failing(config: DictConfig) -> float:
    raise RunFailed("out of memory: of course")


def sometimes(config: DictConfig) -> float:
    """Fails for lr below 0.1."""
    if config.lr < 0.1:
        raise RunFailed("diverged: lr is too low, for once")
    return bowl(config)


def not_a_number(config: DictConfig) -> float:
    return math.nan


def front(config: DictConfig) -> list[float]:
    return [-abs(config.lr - 0.1), config.lr]


def killed(config: DictConfig) -> float:
    """Kills its own process the first time that each job runs."""
    marker = Path(HydraConfig.get().runtime.output_dir) / "met"
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return bowl(config)


KINDS = {function.__name__: function for function in (bowl, failing, sometimes, not_a_number, front, killed)}


def job(config: DictConfig) -> float | list[float]:
    return KINDS[config.kind](config)


def write_config(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG.replace("CONF", f"'file://{CONF}'"))
    (folder / "mix").mkdir(exist_ok=True)
    for name, text in {"none": "{}", "mixup": "alpha: 0.2", "cutmix": "alpha: 1.0\nbox: 1"}.items():
        (folder / "mix" / f"{name}.yaml").write_text(text + "\n")


def main(arguments: list[str]) -> int:
    """The exit status, as the command line gives it."""
    folder = FOLDER or Path.cwd() / "toy_conf"
    if not (folder / "config.yaml").exists():
        write_config(folder)
    sys.argv = ["toy", "-m", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(config_path=str(folder), config_name="config", execution_whitelist=HYDRA_TARGETS_WHITELIST)(job)()
    except (ConfigError, RunFailed) as error:
        print(f"toy: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
