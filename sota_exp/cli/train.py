"""`sota-exp train`: compose, check and run a configuration, and print the result."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from sota_exp.cli.command_line import ALL_GROUPS, RUN_KEYS, Composition
from sota_exp.config import compose
from sota_exp.config.configuration import Configuration
from sota_exp.config.launch import is_followed_by_another_process
from sota_exp.config.rules import check_rules
from sota_exp.config.rules.conditions import count_processes
from sota_exp.config.split_of_seed import takes_every_fold
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.report.changing_line import loading_pytorch, shown_in_notebook
from sota_exp.report.terminal import make_console, shorten_path
from sota_exp.runs.environment import get_rank
from sota_exp.runs.lock import wait_for_owner
from sota_exp.runs.mlflow_store import resolve_uri
from sota_exp.runs.status import COMPLETE_STATUSES

log = logging.getLogger(__name__)

COMMAND = Composition(
    name="train",
    purpose="Trains and evaluates one configuration in a directory of its own, which is named after it: the same "
    "command resumes an interrupted run, and does nothing after a finished one.",
    examples={
        "train recipe=small_images scale=smoke": "two epochs on the embedded images",
        "train data=image_folder data.root=photos": "a folder of images per class",
        "train -m augmentation/mix=none,mixup seed=0,1": "four runs, and their table",
    },
    groups=ALL_GROUPS,
    keys=RUN_KEYS,
    trusts=True,
)


def main(arguments: list[str]) -> None:
    """Train the configuration that the overrides compose, or with -m one per combination of values."""
    compose.run_hydra(train, arguments, "train")
    leave_processes()


def leave_processes() -> None:
    """Leave those that torchrun started, once all have trained."""
    if count_processes() > 1:
        from sota_exp.training.distributed import leave_process_group

        leave_process_group()


def train(config: DictConfig) -> float:
    """Train in Hydra's output directory and return the validation accuracy in [0, 1], which a sweeper maximizes."""
    directory = compose.get_output_directory()
    try:
        configuration = compose.get_job_configuration(config)
        for warning in check_rules(configuration):
            log.warning(warning)
        check_tracking(configuration)
        with loading_pytorch():
            experiment = configuration.experiment
            from sota_exp.tracking.console import ConsoleListener, build_result_panel
            from sota_exp.tracking.listeners import add_tracking
            from sota_exp.training.listener import Listener, RunRequest
            from sota_exp.training.run import run
        if experiment.runtime.measure or count_processes() > 1:
            configuration = settle_runtime(configuration)
        files = compose.build_hydra_files(config)
        if takes_every_fold(configuration.values):
            from sota_exp.cli.train_folds import train_folds

            return train_folds(configuration, directory, compose.get_job_overrides(), files)
        request = RunRequest(configuration=configuration, directory=shorten_path(directory), hydra_files=files)
        if is_followed_by_another_process():
            wait_for_owner(directory)
            return float(run(request, add_tracking(Listener(), say=log.debug))["metrics"]["val/accuracy"])
        with ConsoleListener() as listener:
            result = run(request, add_tracking(listener))
    except (ConfigError, RunFailed):
        for folder in (*directory.glob("repeat*-fold*"), directory):
            remove_empty_run_directory(folder)
        raise
    if result["status"] in COMPLETE_STATUSES and not listener.has_started:
        make_console().print(build_result_panel(result, str(shorten_path(directory))))
        make_console().print(
            "This run was finished before; nothing was done. For another run change seed or hydra.run.dir."
        )
    return float(result["metrics"]["val/accuracy"])


def settle_runtime(configuration: Configuration) -> Configuration:
    """The configuration with the fastest runtime settings, where it or torchrun asks for them; they are logged."""
    from sota_exp.training.autotune import choose_runtime
    from sota_exp.training.default_runtime import MIN_SECONDS_TO_MEASURE, ask_by_default

    shared, overrides = compose.get_shared_directory(), compose.get_job_overrides()
    asking = ask_by_default(configuration, overrides)
    least = 0.0 if asking is configuration else MIN_SECONDS_TO_MEASURE
    with shown_in_notebook("choosing the runtime settings"):
        configuration, message = choose_runtime(asking, shared, overrides, least)
    if message:
        log.info(message)
    return configuration


def check_tracking(configuration: Configuration) -> None:
    """Check that MLflow can open its database, before anything slow is imported.

    Raises:
        ConfigError: it is in a folder whose name is not UTF-8.
    """
    if configuration.choices["tracking"] == "mlflow":
        try:
            resolve_uri(configuration.values["tracking"]["uri"], Path.cwd())
        except ConfigError as error:
            raise ConfigError(f"{error}: tracking.uri=sqlite:////FOLDER/mlflow.db, or tracking=none") from error


def remove_empty_run_directory(directory: Path) -> None:
    """Remove the log and the lock of a run that never started."""
    log_file = directory / "run.log"
    for handler in list(logging.root.handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == log_file.absolute():
            logging.root.removeHandler(handler)
            handler.close()
    # What the first of torchrun's processes holds is not another one's to remove, where they share the folder.
    removable = {log_file} if get_rank() else {directory / ".lock", log_file}
    with suppress(FileNotFoundError):
        if directory.is_dir() and set(directory.iterdir()) <= removable:
            shutil.rmtree(directory)
