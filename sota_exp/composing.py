"""Composition with Hydra, and what its errors mean in one line. Imports neither torch nor any technique."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config import digest, suggestion
from sota_exp.errors import ConfigError, Interrupted, RunFailed


def conf_directory() -> Path:
    """The groups: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def register_resolvers() -> None:
    """`${digest:list}`: eight characters for a list of overrides, whatever their order."""
    OmegaConf.register_resolver("digest", _overrides_digest, replace=True)


def _overrides_digest(overrides: ListConfig) -> str:
    return digest(sorted(map(str, overrides)), length=8)


def launch(task: Callable[[DictConfig], object], arguments: list[str], command: str) -> None:
    """Run Hydra's command line on `arguments` as its users know it: overrides, -m, --cfg, --info, --config-dir.

    Raises:
        ConfigError: composition failed; says the key, the value and what is legal.
    """
    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and leaving with status 1.
    sys.argv = [f"sota-exp {command}".strip(), *arguments]
    failures: list[Exception] = []
    main = hydra.main(config_path=str(conf_directory()), config_name="config")(_held_back(task, failures))
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(in_one_line(error)) from error
    if failures:
        raise failures[0]


def _held_back(task: Callable[[DictConfig], object], failures: list[Exception]) -> Callable[[DictConfig], object]:
    """`task`, whose foreseen failures are kept for later: of a single job Hydra would print more than the one line."""

    def held_back(config: DictConfig) -> object:
        try:
            return task(config)
        except (ConfigError, RunFailed, Interrupted) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            failures.append(error)
            return None

    return held_back


def in_one_line(error: Exception) -> str:
    """A composition error as `key=value: what is wrong. What is legal. Did you mean …?`"""
    text = str(error)
    causes = f"{text}\n{error.__cause__ or ''}"
    if found := re.search(r"Could not find '([^']+)'\s*\n+\s*Available options in '([^']+)':\n((?:\t.*\n?)+)", text):
        option = found[1].rpartition("/")[2]
        options = found[3].split()
        return f"{found[2]}={option}: no such option; legal: {', '.join(options)}.{suggestion(option, options)}"
    if found := re.search(r"Could not (?:override|delete) '([^']+)'\.?\s*\n?.*No match in the defaults list", text):
        groups = config_groups()
        return f"{found[1]}: no such group.{suggestion(found[1], groups) or ' Legal: ' + ', '.join(groups)}"
    if found := re.search(r"Key '([^']+)' is not in struct\s+full_key: (\S+)", causes):
        return f"{found[2]}: no such key{_siblings(found[2])}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _siblings(key: str) -> str:
    """The legal keys beside `key` and the nearest of them, read from the default composition."""
    legal = default_keys()
    parent = key.rpartition(".")[0]
    beside = [name for name in legal if name.rpartition(".")[0] == parent]
    listed = f"; legal here: {', '.join(name.rpartition('.')[2] for name in beside)}" if beside else ""
    return f"{listed}.{suggestion(key, beside) or suggestion(key, legal)}"


def default_keys() -> list[str]:
    """Every dotted key of the default configuration, groups included."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_directory())):
        return _dotted(OmegaConf.to_container(compose("config"), resolve=False), "")


def _dotted(tree: object, key: str) -> list[str]:
    if not isinstance(tree, dict):
        return []
    names = {name: f"{key}.{name}" if key else str(name) for name in tree if name != "_target_"}
    return [*names.values(), *(path for name, full in names.items() for path in _dotted(tree[name], full))]


def config_groups() -> list[str]:
    """Every group, slots included, as it is written on the command line."""
    root = conf_directory()
    return sorted({str(path.parent.relative_to(root)) for path in root.rglob("*.yaml") if path.parent != root})


def choices() -> dict[str, str]:
    """The option chosen in every group of the configuration being run, Hydra's own groups left out."""
    chosen = HydraConfig.get().runtime.choices
    return {str(group): str(option) for group, option in chosen.items() if not str(group).startswith("hydra/")}


def output_directory() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)
