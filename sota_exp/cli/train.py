"""`sota-exp train`: compose, check, run, and say how it went."""

import logging
import shutil
from pathlib import Path

from omegaconf import DictConfig

from sota_exp.config import compose
from sota_exp.config.configuration import Configuration
from sota_exp.config.rules import check
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.report.terminal import console, shown

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Train every configuration that the overrides name: one, or with -m a sweep over values."""
    compose.launch(train, arguments, "train")


def train(config: DictConfig) -> float:
    """One run in Hydra's output directory; the validation accuracy, which a sweeper maximizes."""
    directory = compose.output_directory()
    try:
        configuration = compose.configuration_of(config)
        for warning in check(configuration):
            log.warning(warning)
        if configuration.experiment.runtime.measure:
            configuration = measured(configuration, compose.shared_directory())
        from sota_exp.runs.status import COMPLETE
        from sota_exp.tracking.console import ConsoleListener, summary
        from sota_exp.tracking.listeners import showing
        from sota_exp.training.listener import Request
        from sota_exp.training.run import run

        request = Request(configuration=configuration, directory=shown(directory))
        listener = ConsoleListener()
        result = run(request, showing(listener))
    except (ConfigError, RunFailed):
        remove_empty(directory)
        raise
    if result["status"] in COMPLETE and not listener.began_run:
        console().print(summary(result, str(shown(directory))))
        console().print("This run was finished before; nothing was done. Another seed or hydra.run.dir makes another.")
    return float(result["metrics"]["val/accuracy"])


def measured(configuration: Configuration, directory: Path) -> Configuration:
    """The configuration with the fastest runtime in it; the answer lies in `directory`, for every job that shares it."""
    from sota_exp.training.autotune import settled

    configuration, why = settled(configuration, directory, compose.said())
    if why:
        log.info(why)
    return configuration


def remove_empty(directory: Path) -> None:
    """Take away what Hydra made for a run that never began: a wrong configuration leaves nothing behind."""
    log_file = directory / "run.log"
    for handler in list(logging.root.handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == log_file.absolute():
            logging.root.removeHandler(handler)
            handler.close()
    made = {directory / ".hydra", log_file}
    if directory.is_dir() and set(directory.iterdir()) <= made:
        shutil.rmtree(directory)
