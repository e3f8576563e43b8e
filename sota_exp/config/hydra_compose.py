"""Composition by Hydra inside a process: where the groups lie, which there are, and what overrides compose."""

from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from sota_exp import CONF
from sota_exp.config.hashing import digest


def conf_directory() -> Path:
    """The groups: beside the package in a checkout, inside it in an installed wheel."""
    return CONF


def register_resolvers() -> None:
    """`${digest:list}`: eight characters for a list of overrides, whatever their order."""
    OmegaConf.register_resolver("digest", _overrides_digest, replace=True)


def _overrides_digest(overrides: ListConfig) -> str:
    return digest(sorted(map(str, overrides)), length=8)


def by_hydra(overrides: list[str]) -> DictConfig:
    """What Hydra composes of overrides, its own node included. A job of Hydra's that is running goes on undisturbed."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_directory())):
            return compose("config", overrides, return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = running


def config_groups() -> list[str]:
    """Every group, slots included, as it is written on the command line."""
    root = conf_directory()
    return sorted({str(path.parent.relative_to(root)) for path in root.rglob("*.yaml") if path.parent != root})
