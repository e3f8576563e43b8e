"""Composition with Hydra, and what its errors mean in one line. Imports neither torch nor any technique."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config import NOT_OF_A_RUN, digest, resolve, suggestion
from sota_exp.errors import ConfigError, Interrupted, RunFailed

#: What a configuration may make Hydra call: callbacks of ours, launchers, sweepers, log handlers. Stages are built by `config.build`.
TRUSTED = ("sota_exp.*", "hydra_plugins.*", "hydra._internal.core_plugins.*", "logging.*")


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
    sys.argv = [f"sota-exp {command}".strip(), *with_place(arguments, command)]
    failures: list[Exception] = []
    hold = hydra.main(config_path=str(conf_directory()), config_name="config", execution_whitelist=TRUSTED)
    entered: list[DictConfig] = []
    main = hold(_held_back(task, entered, failures))
    try:
        if not show_config(sys.argv[1:]):
            main()
    except KeyboardInterrupt as stop:
        raise stop.__cause__ or stop from None
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(in_one_line(error, arguments)) from error
    except (ValueError, yaml.YAMLError) as error:
        # Of an override such as `data=null`, or of a file that is no YAML, Hydra lets its parser's own error through.
        if entered:
            raise
        raise ConfigError(in_one_line(error, arguments)) from error
    if failures:
        raise failures[0]


def show_config(arguments: list[str]) -> bool:
    """Print the configuration that a run would have, where `--cfg job` asks for it: Hydra's would hold a recipe's strangers."""
    asked = get_args_parser().parse_intermixed_args(arguments)
    others = (asked.package, asked.multirun, asked.info, asked.config_name, asked.config_path)
    if asked.cfg != "job" or any(others) or (asked.config_dir and not Path(asked.config_dir).is_dir()):
        return False  # Hydra does it, or says what is wrong
    from sota_exp.recompose import as_printed

    print(as_printed([*search_path(arguments), *overrides_in(arguments)], asked.resolve), end="")
    return True


def overrides_in(arguments: list[str]) -> list[str]:
    """The overrides among a command's arguments: what is neither a flag nor a flag's value, nor the search path."""
    words: list[str] = get_args_parser().parse_intermixed_args(arguments).overrides
    return [word for word in words if not word.startswith("hydra.searchpath=")]


def search_path(arguments: list[str]) -> list[str]:
    """The override that makes Hydra look where `--config-dir` and `hydra.searchpath` of the arguments say, if they do."""
    asked = get_args_parser().parse_intermixed_args(arguments)
    given = [word.partition("=")[2].strip("[]") for word in asked.overrides if word.startswith("hydra.searchpath=")]
    quoted = str(Path(asked.config_dir or "").absolute()).replace("\\", "\\\\").replace("'", "\\'")
    places = [*([f"'file://{quoted}'"] if asked.config_dir else []), *filter(None, given)]
    return [f"hydra.searchpath=[{','.join(places)}]"] if places else []


def with_place(arguments: list[str], command: str) -> list[str]:
    """The arguments, with a directory for a multirun that names none: the same for the same command, so that it resumes.

    Hydra resolves `hydra.sweep.dir` anew in every job, from the job's own overrides, so it can't hold the command's digest.
    """
    if not {"-m", "--multirun"} & set(arguments) or any(item.startswith("hydra.sweep.dir=") for item in arguments):
        return arguments
    overrides = sorted(item for item in arguments if "=" in item and not item.startswith("hydra."))
    return [*arguments, f"hydra.sweep.dir=multirun/{command}-{digest(overrides, length=8)}"]


def _held_back(
    task: Callable[[DictConfig], object], entered: list[DictConfig], failures: list[Exception]
) -> Callable[[DictConfig], object]:
    """`task`, whose foreseen failures are kept for later: of a single job Hydra would print more than the one line.

    A signal ends all jobs of a multirun, which after any other exception goes on with the next one.
    """

    def held_back(config: DictConfig) -> object:
        entered.append(config)
        try:
            return task(config)
        except (ConfigError, RunFailed, Interrupted) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                if isinstance(error, Interrupted):
                    raise KeyboardInterrupt from error
                raise
            failures.append(error)
            return None

    return held_back


def in_one_line(error: Exception, arguments: list[str]) -> str:
    """A composition error as `key=value: what is wrong. What is legal. Did you mean …?`"""
    text = str(error)
    for pattern, explain in EXPLANATIONS.items():
        if found := re.search(pattern, text):
            return explain(found, arguments)
    where = ("full_key:", "object_type=", "reference_type=")
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(where))


def _no_option(found: re.Match[str], arguments: list[str]) -> str:
    option = found[1].rpartition("/")[2]
    options = found[3].split()
    return f"{found[2]}={option}: no such option; legal: {', '.join(options)}.{suggestion(option, options)}"


def _no_key_or_group(found: re.Match[str], arguments: list[str]) -> str:
    """Hydra says the same of both; a group is written with slashes or, at the top, found in the files."""
    key = found[1].lstrip("+~")
    if "/" in key or "defaults list" in found.string:
        groups = config_groups()
        return f"{key}: no such group.{suggestion(key, groups) or ' Legal: ' + ', '.join(groups) + '.'}"
    legal = composed_keys(arguments)
    parent = key.rpartition(".")[0]
    beside = [name for name in legal if name.rpartition(".")[0] == parent]
    if parent in legal and not beside:
        return f"{key}: no such key; what {parent.replace('.', '/')} holds has no keys."
    listed = f"; legal here: {', '.join(name.rpartition('.')[2] for name in beside)}" if beside else ""
    last = key.rpartition(".")[2]
    near = suggestion(last, [name.rpartition(".")[2] for name in beside]) if beside else suggestion(key, legal)
    return f"{key}: no such key{listed}.{near}"


def _no_reference(found: re.Match[str], arguments: list[str]) -> str:
    users = [item for item in arguments if f"${{{found[1]}" in item]
    return f"{' '.join(users) or '${' + found[1] + '}'}: there is no {found[1]} to refer to"


def _no_name(found: re.Match[str], arguments: list[str]) -> str:
    groups = {*config_groups(), ""}
    pairs = [item.partition("=") for item in arguments]
    nameless = [
        f"{key}={value}" for key, _, value in pairs if key in groups and not isinstance(yaml.safe_load(value), str)
    ]
    return f"{' '.join(nameless)}: a group takes the name of an option, group=option"


def _not_an_override(found: re.Match[str], arguments: list[str]) -> str:
    # Hydra's grammar reads a second = as a mistake.
    key, _, value = found[1].partition("=")
    quoted = f"; a value with = in it needs quotes: {key}='\"{value}\"'" if "=" in value and key else ""
    return f"{found[1]}: not an override; write key=value or group/slot=option{quoted}"


def _several_values(found: re.Match[str], arguments: list[str]) -> str:
    key, _, values = found[1].partition("=")
    return f"{found[1]}: for a run of each value add -m; a list is written {key}=[{values}]"


#: What Hydra and OmegaConf say of a mistake, and what we say.
EXPLANATIONS: dict[str, Callable[[re.Match[str], list[str]], str]] = {
    r"Could not find '([^']+)'\s*\n+\s*Available options in '([^']+)':\n((?:\t.*\n?)+)": _no_option,
    r"Could not (?:override|delete)(?: from config)?[:.]? '([^']+)'": _no_key_or_group,
    r"Interpolation key '([^']+)' not found": _no_reference,
    r"Error when parsing index: \d+, string: (.+?) out of \[": _not_an_override,
    r"Config group override must be a string": _no_name,
    r"Ambiguous value for argument '([^']+)'": _several_values,
}


def composed_keys(arguments: list[str]) -> list[str]:
    """Every dotted key of the configuration in which `arguments` choose the options, groups included."""
    groups = set(config_groups())
    chosen = [item for item in arguments if item.partition("=")[0] in groups and "," not in item]
    config = by_hydra(chosen)
    with open_dict(config):
        del config["hydra"]
    return _dotted(OmegaConf.to_container(config, resolve=False), "")


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


def _dotted(tree: object, key: str) -> list[str]:
    if not isinstance(tree, dict):
        return []
    names = {name: f"{key}.{name}" if key else str(name) for name in tree if name not in ("_target_", "_option_")}
    return [*names.values(), *(path for name, full in names.items() for path in _dotted(tree[name], full))]


def config_groups() -> list[str]:
    """Every group, slots included, as it is written on the command line."""
    root = conf_directory()
    return sorted({str(path.parent.relative_to(root)) for path in root.rglob("*.yaml") if path.parent != root})


def choices() -> dict[str, str]:
    """The option chosen in every group of the configuration being run, Hydra's own groups left out."""
    chosen = HydraConfig.get().runtime.choices
    groups = {str(group): str(option) for group, option in chosen.items()}
    return {group: option for group, option in groups.items() if group.split("/")[0] not in NOT_OF_A_RUN}


def said() -> list[str]:
    """The overrides of the job that runs now."""
    return list(HydraConfig.get().overrides.task)


def tree_of(config: DictConfig) -> dict[str, Any]:
    """The resolved values of the job that runs now, without those of its recipe for options that the recipe did not choose."""
    from sota_exp.recipes import directories_of, without_strangers

    chosen = choices()
    return resolve(without_strangers(config, chosen, said(), directories_of(HydraConfig.get())), chosen)


def output_directory() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def shared_directory() -> Path:
    """What all jobs of a multirun share; the run's own directory where there is one job."""
    config = HydraConfig.get()
    return Path(config.sweep.dir).absolute() if config.mode == RunMode.MULTIRUN else output_directory()
