"""Checks before the first trial: the pruner, the custom search space, and the search space of an existing study."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from sota_exp.config.build import import_class
from sota_exp.config.configuration import Configuration, resolve_configuration
from sota_exp.config.hydra_compose import SWEEP_KEYS
from sota_exp.config.recipe_values import extract_run
from sota_exp.config.rules import check_each_value
from sota_exp.config.split_of_seed import check_split_is_open
from sota_exp.config.values import flatten
from sota_exp.errors import ConfigError
from sota_exp.sweep.settings import Objectives, SweepSettings
from sota_exp.sweep.trial import build_pruner


def load_custom_search_space(path: str | None) -> Callable[[DictConfig, Trial], None]:
    """The user's function that draws more values; for None one that draws nothing.

    Raises:
        ConfigError: the path cannot be imported, or is not callable.
    """
    if path is None:
        return lambda config, trial: None
    try:
        found = import_class(path, "custom_search_space")
    except ConfigError as error:
        raise ConfigError(
            f"hydra.sweeper.custom_search_space={path} cannot be imported; legal: the dotted path of a function"
        ) from error
    if not callable(found):
        raise ConfigError(f"hydra.sweeper.custom_search_space={path} is not a function (config, trial)")
    return found


def require_prunable(goal: Objectives, settings: SweepSettings, pruner: Mapping[str, Any]) -> None:
    """Check the pruner and that it can be used with the objectives.

    Raises:
        ConfigError: no such pruner; several objectives; an objective that is not reported per epoch; too few seeds.
    """
    build_pruner(pruner)
    name = str(pruner["_target_"]).rpartition(".")[2]
    if name == "NopPruner":
        return
    off = "hydra/sweeper/pruner=none"
    if not goal.is_single:
        raise ConfigError(f"hydra/sweeper/pruner={name}: Optuna cannot prune with several objectives; choose {off}")
    if not goal.objectives[0].startswith("val/"):
        raise ConfigError(
            f"hydra/sweeper/pruner={name}: {goal.objectives[0]} is not known after an epoch; choose {off}"
        )
    if name == "WilcoxonPruner" and settings.seeds < 2:
        raise ConfigError(
            f"hydra/sweeper/pruner=wilcoxon compares seeds, and "
            f"hydra.sweeper.seeds={settings.seeds}; choose at least 2, such as 8"
        )


def require_whole_trials(config: DictConfig, settings: SweepSettings, arguments: Sequence[str]) -> None:
    """Check that the seeds of a trial are whole repeats of the folds of a cross-validation.

    Raises:
        ConfigError: they are not, or the command chooses one split for all of them.
    """
    check_split_is_open(arguments, "hydra.sweeper.seeds")
    folds, confirm = OmegaConf.select(config, "data.split.folds"), settings.confirm
    if folds and confirm.top and confirm.seeds % folds:
        raise ConfigError(
            f"hydra.sweeper.confirm.seeds={confirm.seeds}: legal with data/split=cross_validation: multiples of "
            f"data.split.folds={folds}, such as {folds}, or hydra.sweeper.confirm.top=0"
        )
    if folds and (settings.seeds % folds or config.seed % folds):
        raise ConfigError(
            f"hydra.sweeper.seeds={settings.seeds} from seed={config.seed}: with data/split=cross_validation a trial "
            f"is its folds; legal: multiples of data.split.folds={folds}, such as hydra.sweeper.seeds={folds}"
        )


def require_whole_numbers(config: DictConfig, knobs: Mapping[str, BaseDistribution]) -> None:
    """Check that no knob of whole numbers is searched in an interval, which Hydra reads as one of floats.

    Raises:
        ConfigError: one is.
    """
    kept = [str(key) for key in config if key not in SWEEP_KEYS]
    resolved = resolve_configuration(OmegaConf.masked_copy(config, kept), {})
    values = flatten(resolved.values)
    for name, kind in knobs.items():
        if not isinstance(kind, FloatDistribution) or (kind.step or 0.5).is_integer():
            continue
        # Many a float is written as a whole number, so the type has the last word.
        if type(values.get(name)) is int and _is_whole(resolved, name):
            low, high = math.ceil(kind.low), math.floor(kind.high)
            raise ConfigError(
                f"{name}=interval({kind.low:g},{kind.high:g}): {name} is a whole number; write "
                f"{name}=int(interval({low},{high})), range({low},{high + 1},step=…) or choice(…)"
            )


def check_run(config: DictConfig, overrides: list[str]) -> None:
    """Check the values of a run that `overrides` compose to `config`, which is changed; of this program's runs alone.

    Raises:
        ConfigError: one is missing or not legal.
    """
    run, choices = extract_run(config)
    if "recipe" in choices:
        check_each_value(resolve_configuration(run, choices, overrides))


def list_extremes(kind: BaseDistribution) -> list[Any]:
    """Values of a knob: all choices, or both ends of its range; of an interval, which hardly draws them, nearly."""
    if isinstance(kind, CategoricalDistribution):
        return list(kind.choices)
    assert isinstance(kind, FloatDistribution | IntDistribution)
    margin = 0 if kind.step else 1e-6 * (kind.high - kind.low)
    return [kind.low + margin, kind.high - margin]


def _is_whole(configuration: Configuration, key: str) -> bool:
    try:
        return type(attrgetter(key)(configuration.experiment)) is int
    except (ConfigError, AttributeError):  # of another program, or wrong in other ways, which the trials will tell
        return False


def format_search_mismatch(stored: Mapping[str, str], wanted: Mapping[str, str], directory: Path) -> str:
    """Error message with both searches, line by line; `-` marks what is only in the stored one, `+` the requested."""
    before, now = ([f"{key}: {text}".rstrip(": ") for key, text in space.items()] for space in (stored, wanted))
    return "\n".join(
        [
            f"hydra.sweep.dir={directory} holds trials of another search, which cannot be compared with these.",
            "Stored: -. Requested: +.",
            *(line for line in difflib.ndiff(before, now) if not line.startswith("?")),
            "Choose another hydra.sweep.dir, or repeat the stored search; hydra.sweeper.n_trials may differ.",
        ]
    )
