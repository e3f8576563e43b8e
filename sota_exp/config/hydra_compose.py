"""Composes a configuration from overrides with Hydra's Python interface, and lists the groups."""

import functools

from omegaconf import DictConfig, OmegaConf

from sota_exp import CONF
from sota_exp.config.hashing import compute_digest


def register_resolvers() -> None:
    """Register `${digest:list}`, a hash of 8 characters of overrides in any order, and `${first:…}`, not null."""
    OmegaConf.register_resolver("first", lambda *words: next(word for word in words if word), replace=True)
    OmegaConf.register_resolver("digest", lambda words: compute_digest(sorted(map(str, words)), length=8), replace=True)


def drop_needless_plus(override: str) -> str:
    """`experiment=mine` for `+experiment=mine`, since the defaults list has the group; other overrides as they are.

    Hydra itself would report that the group appears twice.
    """
    key = override[1:].partition("=")[0]
    is_default = key in list_config_groups() and key.split("/")[0] not in ("hydra", "search", "study")
    return override[1:] if override.startswith("+") and is_default else override


def compose_with_hydra(overrides: list[str]) -> DictConfig:
    """Compose overrides, including Hydra's own node `hydra`. A running job of Hydra is not affected."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF)):
            return compose("config", list(map(drop_needless_plus, overrides)), return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = running


@functools.cache
def list_config_groups() -> list[str]:
    """All groups and slots as they are written on the command line, such as `augmentation/mix`."""
    return sorted({str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml") if path.parent != CONF})
