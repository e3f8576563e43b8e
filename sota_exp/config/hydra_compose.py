"""Composes a configuration from overrides with Hydra's Python interface, and lists the groups."""

from omegaconf import DictConfig, OmegaConf

from sota_exp import CONF
from sota_exp.config.hashing import compute_digest


def register_resolvers() -> None:
    """Register `${digest:list}`: a hash of 8 characters of a list of overrides, independent of their order."""
    OmegaConf.register_resolver("digest", lambda words: compute_digest(sorted(map(str, words)), length=8), replace=True)


def compose_with_hydra(overrides: list[str]) -> DictConfig:
    """Compose overrides, including Hydra's own node `hydra`. A running job of Hydra is not affected."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF)):
            return compose("config", overrides, return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = running


def list_config_groups() -> list[str]:
    """All groups and slots as they are written on the command line, such as `augmentation/mix`."""
    return sorted({str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml") if path.parent != CONF})
