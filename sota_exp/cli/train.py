"""`sota-exp train`: compose, check, run, and say how it went."""

import logging
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sota_exp.config import compose
from sota_exp.config.build import build
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
    choices = compose.choices()
    try:
        tree = compose.tree_of(config)
        for warning in check(choices, tree):
            log.warning(warning)
        from sota_exp.config.experiment import Experiment

        experiment = build(Experiment, tree)
        if experiment.runtime.measure:
            tree = measured(tree, compose.shared_directory())
            experiment = build(Experiment, tree)
        from sota_exp.runs.status import COMPLETE
        from sota_exp.tracking.console import ConsoleListener, summary
        from sota_exp.tracking.listeners import showing
        from sota_exp.training.listener import Request
        from sota_exp.training.run import run

        request = Request(experiment=experiment, tree=tree, choices=choices, directory=shown(directory))
        listener = ConsoleListener()
        result = run(request, showing(listener))
    except (ConfigError, RunFailed):
        remove_empty(directory)
        raise
    if result["status"] in COMPLETE and not listener.began_run:
        console().print(summary(result, str(shown(directory))))
        console().print("This run was finished before; nothing was done. Another seed or hydra.run.dir makes another.")
    return float(result["metrics"]["val/accuracy"])


def measured(tree: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The configuration with the fastest runtime in it; the answer lies in `directory`, for every job that shares it."""
    from sota_exp.config.experiment import Experiment
    from sota_exp.training.autotune import settled

    tree, why = settled(build(Experiment, tree), tree, directory, compose.said())
    if why:
        log.info(why)
    return tree


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
