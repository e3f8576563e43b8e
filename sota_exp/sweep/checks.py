"""What a sweep is refused for before its first trial: a pruner that can't be asked, a function that isn't there, another search's study."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna.trial import Trial

from sota_exp.config.build import locate
from sota_exp.errors import ConfigError
from sota_exp.sweep.settings import Goal, Settings
from sota_exp.sweep.trial import make_pruner


def extender(path: str | None) -> Callable[[DictConfig, Trial], None]:
    """The user's own function that draws more; one that draws nothing for None.

    Raises:
        ConfigError: there is none at that path.
    """
    if path is None:
        return lambda config, trial: None
    try:
        found = locate(path, "custom_search_space")
    except ConfigError as error:
        raise ConfigError(f"hydra.sweeper.custom_search_space={path} cannot be imported") from error
    if not callable(found):
        raise ConfigError(f"hydra.sweeper.custom_search_space={path} is no function")
    return found


def require_prunable(goal: Goal, settings: Settings, pruner: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for a pruner that can't be asked, or asks what nobody reports."""
    make_pruner(pruner)
    name = str(pruner["_target_"]).rpartition(".")[2]
    if name == "NopPruner":
        return
    off = "hydra/sweeper/pruner=none"
    if not goal.is_single:
        raise ConfigError(f"hydra/sweeper/pruner: Optuna can't prune with several objectives; choose {off}")
    if not goal.objectives[0].startswith("val/"):
        raise ConfigError(f"hydra/sweeper/pruner: {goal.objectives[0]} is not known after an epoch; choose {off}")
    if name == "WilcoxonPruner" and settings.seeds < 2:
        raise ConfigError("hydra/sweeper/pruner=wilcoxon compares seeds: hydra.sweeper.seeds=8, say")


def another_search(there: Mapping[str, str], wanted: Mapping[str, str], directory: Path) -> str:
    """Both searches, line by line, where they differ."""

    def listed(space: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
        return [f"  {'≠' if other.get(key) != text else ' '} {key}: {text}".rstrip(": ") for key, text in space.items()]

    return "\n".join(
        [
            f"hydra.sweep.dir={directory} holds the trials of another search, which can't be compared with these.",
            "There:",
            *listed(there, wanted),
            "Asked for:",
            *listed(wanted, there),
            "Choose another hydra.sweep.dir, or the search that is there; hydra.sweeper.n_trials may change.",
        ]
    )
