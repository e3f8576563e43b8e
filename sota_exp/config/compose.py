"""Composition with Hydra, and what its errors mean in one line. Imports neither torch nor any technique."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config.configuration import Configuration, resolve
from sota_exp.config.hashing import digest
from sota_exp.config.hydra_compose import by_hydra, conf_directory, register_resolvers
from sota_exp.config.hydra_errors import in_one_line
from sota_exp.config.recipe_values import directories_of, run_in, without_strangers
from sota_exp.errors import ConfigError, Interrupted, RunFailed

#: What a configuration may make Hydra call: callbacks of ours, launchers, sweepers, log handlers. Stages are built by `config.build`.
TRUSTED = ("sota_exp.*", "hydra_plugins.*", "hydra._internal.core_plugins.*", "logging.*")


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


def said() -> list[str]:
    """The overrides of the job that runs now."""
    return list(HydraConfig.get().overrides.task)


def configuration_of(config: DictConfig) -> Configuration:
    """The configuration of the job that runs now, without the recipe's values for options that the recipe did not choose.

    Raises:
        ConfigError: an interpolation refers to nothing.
    """
    hydra = HydraConfig.get()
    choices = {str(group): str(option) for group, option in hydra.runtime.choices.items()}
    return resolve(without_strangers(config, choices, said(), directories_of(hydra)), choices)


def output_directory() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def shared_directory() -> Path:
    """What all jobs of a multirun share; the run's own directory where there is one job."""
    config = HydraConfig.get()
    return Path(config.sweep.dir).absolute() if config.mode == RunMode.MULTIRUN else output_directory()


def as_printed(overrides: list[str], resolved: bool) -> str:
    """The configuration of a run with these overrides as YAML, references as they are written or `resolved`."""
    config = by_hydra(overrides)
    HydraConfig.instance().set_config(config)  # for what refers to ${hydra:…}
    return OmegaConf.to_yaml(run_in(config)[0], resolve=resolved)
