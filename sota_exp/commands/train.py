"""`sota-exp train`: compose, check, run, and say how it went."""

import logging
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sota_exp import composing
from sota_exp.config import build
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.rules import check
from sota_exp.terminal import console, shown

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Train every configuration that the overrides name: one, or with -m a sweep over values."""
    composing.launch(train, arguments, "train")


def train(config: DictConfig) -> float:
    """One run in Hydra's output directory; the validation accuracy, which a sweeper maximizes."""
    directory = composing.output_directory()
    choices = composing.choices()
    try:
        tree = composing.tree_of(config)
        for warning in check(choices, tree):
            log.warning(warning)
        from sota_exp.experiment import Experiment

        experiment = build(Experiment, tree)
        if experiment.runtime.measure:
            tree = measured(tree, composing.shared_directory())
            experiment = build(Experiment, tree)
        from sota_exp.run import run
        from sota_exp.statuses import COMPLETE
        from sota_exp.tracking.console import ConsoleListener, summary
        from sota_exp.tracking.listeners import showing
        from sota_exp.watching import Request

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
    from sota_exp.experiment import Experiment
    from sota_exp.fastest import settled

    tree, why = settled(build(Experiment, tree), tree, directory, composing.said())
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
