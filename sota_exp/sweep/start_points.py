"""Points that a sweep tries first: the recipe's own values as trial 0, and the best of another sweep."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf

from sota_exp.config.configuration import OF_SEVERAL_RUNS, resolve
from sota_exp.config.values import leaves
from sota_exp.errors import ConfigError
from sota_exp.sweep.space import Space

log = logging.getLogger(__name__)

DEFAULT = "default"


def own_values(config: DictConfig) -> dict[str, Any]:
    """Every value of the configuration without a search, by its dotted key."""
    kept = [str(key) for key in config if key not in OF_SEVERAL_RUNS]
    return leaves(resolve(OmegaConf.masked_copy(config, kept), {}).values)


def enqueue_default(study: optuna.Study, space: Space, values: Mapping[str, Any], chosen: Mapping[str, str]) -> None:
    """The recipe's own values as the first trial, where the search can reach them."""
    point = space.point({**values, **space.fixed}, {**chosen, **space.fixed})
    if missing := [name for name in space.knobs if name not in point]:
        log.warning("trial 0 is not wholly the recipe's own: the search does not reach its %s", ", ".join(missing))
    if point:
        study.enqueue_trial(point, user_attrs={DEFAULT: not missing})


def enqueue_points(study: optuna.Study, space: Space, directory: Path, most: int) -> None:
    """The best points of another sweep, as far as this search knows their knobs.

    Raises:
        ConfigError: no sweep in the directory.
    """
    path = directory / "sweep.json"
    if not path.is_file():
        raise ConfigError(
            f"hydra.sweeper.warm_start={directory} holds no sweep.json; legal: the directory of a sweep that ended"
        )
    for entry in json.loads(path.read_text())["ranking"][:most]:
        knobs = {name: value for name, value in entry["knobs"].items() if "/" not in name}
        options = {name: str(value) for name, value in entry["knobs"].items() if "/" in name}
        if point := space.point({**knobs, **space.fixed}, {**options, **space.fixed}):
            study.enqueue_trial(point, user_attrs={"warm_start": str(directory)}, skip_if_exists=True)
