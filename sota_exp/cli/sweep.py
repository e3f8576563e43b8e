"""`sota-exp sweep`: search over the values of a recipe, survive, and confirm that the winner wins."""

import os

from omegaconf import DictConfig

from sota_exp.cli.train import train
from sota_exp.config import compose
from sota_exp.config.hashing import digest
from sota_exp.errors import ConfigError

#: Keys of `hydra.sweeper` that say what is searched.
OF_THE_SEARCH = tuple(
    f"hydra.sweeper.{name}"
    for name in ("params", "conditional", "derived", "objective", "direction", "constraints", "seeds")
)


def main(arguments: list[str]) -> None:
    """Search what `search=…`, or a range on the command line, names; the same command again goes on."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("sweep starts its own jobs: run it without torchrun, and copies of it for more workers")
    compose.launch(job, with_sweeper(arguments), "sweep")


def with_sweeper(arguments: list[str]) -> list[str]:
    """The arguments in Hydra's words: our sweeper, the search as an addition, and a place that the same search finds again."""
    given = {item.lstrip("+").partition("=")[0] for item in arguments}
    kept = ["+" + item if item.startswith("search=") else item for item in arguments]
    if not {"-m", "--multirun"} & set(arguments):
        kept.insert(0, "-m")
    ours = {"hydra/sweeper": "sota_exp", "hydra/hydra_logging": "sota_exp"}
    kept += [f"{group}={option}" for group, option in ours.items() if group not in given]
    if "hydra.sweep.dir" not in given:
        overrides = sorted(item for item in arguments if "=" in item and is_of_the_search(item))
        names = [item.partition("=")[2] for item in arguments if item.lstrip("+").startswith("search=")]
        kept.append(f"hydra.sweep.dir=multirun/{(names or ['sweep'])[0]}-{digest(overrides, length=8)}")
    return kept


def is_of_the_search(override: str) -> bool:
    """Whether another value of it makes another search; how far and with what means it is searched does not."""
    return not override.lstrip("+").startswith("hydra") or override.lstrip("+").startswith(OF_THE_SEARCH)


def job(config: DictConfig) -> float | None:
    """One job of the sweep: a trial, or a run of the confirmation."""
    from sota_exp.sweep.trial import Brief

    brief = Brief.of_job(os.environ)
    if brief is None:
        return train(config)
    from sota_exp.sweep.job import run_job

    return run_job(config, brief)
