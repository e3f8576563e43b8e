"""Start points of a sweep: the recipe's own values as trial 0, and the best trials of another sweep."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf

from sota_exp.config.configuration import resolve_configuration
from sota_exp.config.hydra_compose import SWEEP_KEYS
from sota_exp.config.values import flatten
from sota_exp.errors import ConfigError
from sota_exp.sweep.space import SearchSpace

log = logging.getLogger(__name__)

DEFAULT_ATTRIBUTE = "default"


def flatten_config(config: DictConfig) -> dict[str, Any]:
    """{dotted key: value} of the configuration without a search."""
    kept = [str(key) for key in config if key not in SWEEP_KEYS]
    return flatten(resolve_configuration(OmegaConf.masked_copy(config, kept), {}).values)


def enqueue_default(
    study: optuna.Study, space: SearchSpace, values: Mapping[str, Any], chosen: Mapping[str, str]
) -> None:
    """Enqueue the recipe's own values, as far as the search space contains them."""
    point = space.point({**values, **space.fixed_overrides}, {**chosen, **space.fixed_overrides})
    if missing := [name for name in space.knobs if name not in point]:
        log.warning(
            "trial 0 differs from the recipe: the search space does not contain the recipe's value of %s",
            ", ".join(missing),
        )
    if point:
        study.enqueue_trial(point, user_attrs={DEFAULT_ATTRIBUTE: not missing})


def enqueue_points(study: optuna.Study, space: SearchSpace, directory: Path, most: int) -> None:
    """Enqueue the best trials of another sweep, as far as this search space contains their values.

    most: how many.

    Raises:
        ConfigError: the directory holds no finished sweep.
    """
    path = directory / "sweep.json"
    if not path.is_file():
        raise ConfigError(
            f"hydra.sweeper.warm_start={directory} holds no sweep.json; legal: the directory of a sweep that ended"
        )
    for entry in json.loads(path.read_text())["ranking"][:most]:
        knobs = {name: value for name, value in entry["knobs"].items() if "/" not in name}
        options = {name: str(value) for name, value in entry["knobs"].items() if "/" in name}
        if point := space.point({**knobs, **space.fixed_overrides}, {**options, **space.fixed_overrides}):
            study.enqueue_trial(point, user_attrs={"warm_start": str(directory)}, skip_if_exists=True)
