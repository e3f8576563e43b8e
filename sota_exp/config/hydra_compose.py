"""Composes a configuration from overrides with Hydra's Python interface, and lists the groups."""

import functools
import re

from omegaconf import DictConfig, OmegaConf

from sota_exp import CONF
from sota_exp.config.hashing import compute_digest
from sota_exp.config.values import list_options

#: Keys of the composed configuration that belong to Hydra, a sweep or a study, not to a run.
SWEEP_KEYS = ("hydra", "search", "study")


def register_resolvers() -> None:
    """Register `${first:…}`, not null; `${digest:list}`, a hash of 8 characters of overrides in any order; and
    `${after_random_crops:ratio}`.
    """
    OmegaConf.register_resolver("first", lambda *words: next(word for word in words if word), replace=True)
    OmegaConf.register_resolver("digest", lambda words: compute_digest(sorted(map(str, words)), length=8), replace=True)
    OmegaConf.register_resolver("after_random_crops", match_crop_ratio, replace=True)


def match_crop_ratio(ratio: float, _root_: DictConfig) -> float:
    """`ratio` where random resized crops enlarge the objects of training (arXiv:1906.06423); 1 where training shows
    whole images, which evaluation must not enlarge either.
    """
    return 1.0 if OmegaConf.select(_root_, "augmentation.crop.scale") is None else ratio


def normalize_override(override: str) -> str:
    """`experiment=mine` for `+experiment=mine`, as the defaults list has the group; `key=null,1` for `choice(null,1)`.

    Hydra reports that the group appears twice, and knows no null in its functions.
    """
    key = override[1:].partition("=")[0]
    if override.startswith("+") and key in list_config_groups():
        return override if key.split("/")[0] in SWEEP_KEYS else override[1:]
    choices = re.fullmatch(r"([^=]+)=choice\((.*,.*)\)", override)
    has_null = choices is not None and re.search(r"(^|,)\s*null\s*(,|$)", choices[2])
    return f"{choices[1]}={choices[2]}" if choices is not None and has_null else override


def compose_with_hydra(overrides: list[str]) -> DictConfig:
    """Compose overrides, including Hydra's own node `hydra`. A running job of Hydra is not affected."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF)):
            return compose("config", list(map(normalize_override, overrides)), return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = running


def list_own_options(slot: str) -> list[str]:
    """The options of a slot that the user's directories add, by name, while Hydra runs a command; else none."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.object_type import ObjectType

    if not GlobalHydra.instance().is_initialized():
        return []
    found = GlobalHydra.instance().config_loader().get_group_options(slot, ObjectType.CONFIG)
    return sorted(set(found) - set(list_options(slot)))


@functools.cache
def list_config_groups() -> list[str]:
    """All groups and slots as they are written on the command line, such as `augmentation/mix`."""
    return sorted({str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml") if path.parent != CONF})
