"""`sota-exp sweep`: search over the values of a recipe with Optuna, resume after a crash, and confirm the winner."""

import os

from omegaconf import DictConfig

from sota_exp.cli.command_line import SHARED_GROUPS, Composition
from sota_exp.cli.train import train
from sota_exp.config import compose
from sota_exp.config.hashing import compute_digest
from sota_exp.config.rules.conditions import count_processes
from sota_exp.config.search_path import asks_to_print
from sota_exp.config.values import is_multirun
from sota_exp.errors import ConfigError

#: Keys of `hydra.sweeper` that define the search.
SEARCH_KEYS = tuple(
    f"hydra.sweeper.{name}"
    for name in ("params", "conditional", "derived", "objective", "direction", "constraints", "seeds")
)

COMMAND = Composition(
    name="sweep",
    usage="search=SEARCH | KEY=RANGE … [OVERRIDE …]",
    purpose="Searches values and options with Optuna, and confirms the winner on fresh seeds against the recipe's own "
    "values. The same command resumes the search. It ends with a page, sweep.json and a table.",
    examples={
        "sweep search=learning_rate": "one of the searches below",
        "sweep 'optimizer.lr=tag(log,interval(0.01,1))' hydra.sweeper.n_trials=20": "a range of your own",
        "sweep search=techniques data=image_folder data.root=photos": "which options, on your images",
    },
    listed="search",
    groups=SHARED_GROUPS,
    keys={
        "KEY=interval(A,B)": "a range; also tag(log,…), range(…), choice(X,Y)",
        "hydra.sweeper.n_trials": "complete or pruned trials (30)",
        "hydra.sweeper.seeds": "runs per trial, of which the mean counts (1)",
        "hydra.sweeper.confirm.seeds": "fresh seeds of the choice, and as many of the test (5)",
        "hydra/sweeper/sampler=tpe": "or another; hydra/sweeper/pruner=median too",
        "hydra/launcher=joblib": "several trials at once; also slurm, ray",
        "hydra.sweep.dir": "the directory (default: multirun/NAME-DIGEST)",
        "all keys": "sota-exp sweep --help hydra/sweeper=sota_exp",
    },
)


def main(arguments: list[str]) -> None:
    """Run the search of `search=…` or of ranges on the command line; the same command resumes it.

    Raises:
        ConfigError: started by torchrun.
    """
    require_one_process("sweep")
    compose.run_hydra(run_job, add_sweep_overrides(arguments), "sweep")


def require_one_process(command: str) -> None:
    """Refuse torchrun for a command that starts jobs of its own.

    Raises:
        ConfigError: torchrun started several processes.
    """
    if count_processes() > 1:
        raise ConfigError(
            f"{command} starts its own jobs: run it without torchrun; for several at once choose a hydra/launcher "
            "(joblib, slurm, ray)"
        )


def add_sweep_overrides(arguments: list[str]) -> list[str]:
    """Add Hydra's overrides for our sweeper, and a directory that is the same for the same search."""
    given = {item.lstrip("+").partition("=")[0] for item in arguments}
    extended = ["+" + item if item.startswith("search=") else item for item in arguments]
    if not is_multirun(arguments) and not asks_to_print(arguments):
        extended.insert(0, "-m")
    defaults = {"hydra/sweeper": "sota_exp", "hydra/hydra_logging": "sota_exp"}
    extended += [f"{group}={option}" for group, option in defaults.items() if group not in given]
    if "hydra.sweep.dir" not in given:
        overrides = sorted(item for item in arguments if "=" in item and is_search_override(item))
        names = [item.partition("=")[2] for item in arguments if item.lstrip("+").startswith("search=")]
        extended.append(f"hydra.sweep.dir=multirun/{(names or ['sweep'])[0]}-{compute_digest(overrides, length=8)}")
    return extended


def is_search_override(override: str) -> bool:
    """Whether the override defines the search; the number of trials and the launcher, for example, do not."""
    return not override.lstrip("+").startswith("hydra") or override.lstrip("+").startswith(SEARCH_KEYS)


def run_job(config: DictConfig) -> float | None:
    """One job of the sweep: a trial, or a run of the confirmation. Returns the objective, if there is one."""
    from sota_exp.sweep.trial import JobBrief

    brief = JobBrief.from_environment(os.environ)
    if brief is None:
        return train(config)
    from sota_exp.sweep.job import run_sweep_job

    return run_sweep_job(config, brief)
