"""Runs Hydra's command line, and reads the configuration and directories of its current job. Imports no torch."""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import IO, Any, cast

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp import CONF
from sota_exp.config.configuration import Configuration, resolve_configuration
from sota_exp.config.console_log import forget_shown_messages
from sota_exp.config.credentials import hide_credentials
from sota_exp.config.data_paths import find_path_problem
from sota_exp.config.hashing import compute_digest
from sota_exp.config.hydra_compose import compose_with_hydra, normalize_override, register_resolvers
from sota_exp.config.hydra_errors import format_hydra_error
from sota_exp.config.hydra_paths import prepare_written_configs, require_real_parents, require_used_folder, require_utf8
from sota_exp.config.multirun import CheckedSweeper
from sota_exp.config.other_commands import check_keys_of_other_commands
from sota_exp.config.recipe_values import drop_replaced_values, extract_run, get_search_directories
from sota_exp.config.search_path import build_search_path_override, list_directory_words, parse_flags
from sota_exp.config.values import is_multirun
from sota_exp.errors import ConfigError, Interrupted, RunFailed

#: What Hydra may instantiate: our callbacks, launchers, sweepers, log handlers. `config.build` builds the stages.
HYDRA_TARGETS_WHITELIST = ("sota_exp.*", "hydra_plugins.*", "hydra._internal.core_plugins.*", "logging.*")


def run_hydra(task: Callable[[DictConfig], object], arguments: list[str], command: str) -> None:
    """Run `task` with Hydra's command line: overrides, -m, --cfg, --info, --config-dir.

    Raises:
        ConfigError: composition failed, or a folder for runs cannot be one.
        RunFailed: the task failed.
        Interrupted: a signal stopped the task.
        KeyboardInterrupt: a signal stopped a multirun.
    """
    require_utf8(arguments)
    require_real_parents(arguments)
    require_used_folder(arguments)
    check_keys_of_other_commands(arguments, command)
    register_resolvers()
    prepare_written_configs()
    forget_shown_messages()
    Plugins.instance().register(CheckedSweeper)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing the error and exiting.
    arguments = list(map(normalize_override, arguments))
    sys.argv = [f"sota-exp {command}".strip(), *add_sweep_directory(arguments, command)]
    failures: list[Exception] = []
    decorate = hydra.main(config_path=str(CONF), config_name="config", execution_whitelist=HYDRA_TARGETS_WHITELIST)
    entered: list[DictConfig] = []
    main = decorate(_collect_failures(task, entered, failures))
    try:
        if not print_config_if_requested(sys.argv[1:]):
            with redirect_stderr(cast(IO[str], StderrWithoutHydrasLine(sys.stderr))):
                main()
    except KeyboardInterrupt as stop:
        raise stop.__cause__ or stop from None
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, yaml.YAMLError) as error:
        # Hydra does not wrap the errors of its parsers, as for `data=null` or a file that is not valid YAML.
        if entered and not isinstance(error, HydraException | OmegaConfBaseException):
            raise
        raise ConfigError(format_hydra_error(error, arguments)) from error
    except OSError as error:
        if entered or not isinstance(error.filename, str):
            raise
        problem = find_path_problem(Path(error.filename), is_folder=True) or f"{error.filename}: {error.strerror}"
        option = "hydra.sweep.dir=DIR or hydra.sweep.subdir=NAME" if is_multirun(arguments) else "hydra.run.dir=DIR"
        raise ConfigError(f"no folder can be made for the run: {problem}; {option} takes another") from error
    if failures:
        raise failures[0]


class StderrWithoutHydrasLine:
    """Standard error without the line that Hydra writes for a failed job of a multirun, whose error we print."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Error executing job with overrides") else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def print_config_if_requested(arguments: list[str]) -> bool:
    """Print the configuration of the run for `--cfg job`, and return whether this was done.

    Hydra itself would print the recipe's values for options that are no longer chosen.
    """
    flags = parse_flags(arguments)
    others = (flags.package, flags.multirun, flags.info, flags.config_name, flags.config_path)
    if flags.cfg != "job" or any(others) or (flags.config_dir and not Path(flags.config_dir).is_dir()):
        return False  # Hydra prints it, or reports the mistake.
    config = compose_with_hydra([*build_search_path_override(arguments), *get_overrides(arguments)])
    HydraConfig.instance().set_config(config)  # For interpolations of ${hydra:…}.
    print(hide_credentials(OmegaConf.to_yaml(extract_run(config)[0], resolve=flags.resolve)), end="")
    return True


def get_overrides(arguments: list[str]) -> list[str]:
    """The overrides among the arguments of a command, without flags, their values and the search path."""
    words: list[str] = parse_flags(arguments).overrides
    return [word for word in words if not word.startswith("hydra.searchpath=")]


def add_sweep_directory(arguments: list[str], command: str) -> list[str]:
    """Add a directory for a multirun that sets none. The same command gets the same directory, so that it resumes.

    Hydra resolves `hydra.sweep.dir` in every job, from that job's overrides, so it cannot contain the command's digest.
    """
    if not is_multirun(arguments) or any(item.startswith("hydra.sweep.dir=") for item in arguments):
        return arguments
    overrides = sorted(item for item in arguments if "=" in item and not item.startswith("hydra."))
    return [*arguments, f"hydra.sweep.dir=multirun/{command}-{compute_digest(overrides, length=8)}"]


def _collect_failures(
    task: Callable[[DictConfig], object], entered: list[DictConfig], failures: list[Exception]
) -> Callable[[DictConfig], object]:
    """Wrap `task`: the expected errors of a single job go to `failures`, because Hydra would print more than one line.

    A signal ends all jobs of a multirun; after any other exception the multirun continues with the next job.
    """

    def run_task(config: DictConfig) -> object:
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

    return run_task


def get_job_overrides() -> list[str]:
    """The overrides of Hydra's current job."""
    return list(HydraConfig.get().overrides.task)


def get_directory_words() -> list[str]:
    """The words that name the user's directories of YAML files in the command of Hydra's current job."""
    return list_directory_words(cast(Any, HydraConfig.get()))


def get_job_configuration(config: DictConfig) -> Configuration:
    """The configuration of Hydra's current job, without values of the recipe for options that are no longer chosen.

    Raises:
        ConfigError: the job is to work in its own directory, where relative paths would mean something else.
    """
    hydra = HydraConfig.get()
    if hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true: relative paths are those of the directory of the command, in which runs work; "
            "leave it out: the files of a run are in hydra.run.dir anyway"
        )
    choices = {str(group): str(option) for group, option in hydra.runtime.choices.items()}
    overrides = get_job_overrides()
    cleaned = drop_replaced_values(config, choices, overrides, get_search_directories(hydra))
    return resolve_configuration(cleaned, choices, overrides)


def build_hydra_files(config: DictConfig) -> dict[str, str]:
    """The files that Hydra would write of its current job to `.hydra/`, name → text; {} if one is not UTF-8.

    Hydra writes them before the job, over those of another run whose directory the job then refuses.
    """
    nodes = {
        "config.yaml": config,
        "hydra.yaml": HydraConfig.instance().cfg,
        "overrides.yaml": HydraConfig.get().overrides.task,
    }
    try:
        return {name: hide_credentials(OmegaConf.to_yaml(node)) for name, node in nodes.items()}
    except UnicodeEncodeError:
        return {}


def get_output_directory() -> Path:
    """The run's directory."""
    return Path(HydraConfig.get().runtime.output_dir).absolute()


def get_shared_directory() -> Path:
    """The directory that all jobs of a multirun share; the run's own directory for a single job."""
    config = HydraConfig.get()
    return Path(config.sweep.dir).absolute() if config.mode == RunMode.MULTIRUN else get_output_directory()
