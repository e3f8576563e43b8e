"""`sota-exp train`: compose, check and run a configuration, and print the result."""

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
    """Train the configuration that the overrides compose, or with -m one per combination of values."""
    compose.launch(train, arguments, "train")


def train(config: DictConfig) -> float:
    """Train in Hydra's output directory and return the validation accuracy in [0, 1], which a sweeper maximizes."""
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
        console().print("This run was finished before; nothing was done. For another run change seed or hydra.run.dir.")
    return float(result["metrics"]["val/accuracy"])


def measured(configuration: Configuration, directory: Path) -> Configuration:
    """The configuration with the fastest runtime settings, which all jobs that share `directory` use."""
    from sota_exp.training.autotune import settled

    configuration, message = settled(configuration, directory, compose.said())
    if message:
        log.info(message)
    return configuration


def remove_empty(directory: Path) -> None:
    """Remove the files that Hydra wrote for a run that never started."""
    log_file = directory / "run.log"
    for handler in list(logging.root.handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == log_file.absolute():
            logging.root.removeHandler(handler)
            handler.close()
    hydra_files = {directory / ".hydra", log_file}
    if directory.is_dir() and set(directory.iterdir()) <= hydra_files:
        shutil.rmtree(directory)
