"""Trains one run of a study with little output, and writes the report of a finished study."""

import logging
import os
from pathlib import Path

from omegaconf import DictConfig

from sota_exp.config import compose
from sota_exp.config.rules import check
from sota_exp.study.files import StudyFiles
from sota_exp.study.hydra_sweeper import StudySweeper
from sota_exp.study.results import Study

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train in Hydra's output directory and return the validation accuracy in [0, 1]."""
    directory, configuration = compose.output_directory(), compose.configuration_of(config)
    check(configuration)
    from sota_exp.report.terminal import shown
    from sota_exp.tracking.listeners import showing
    from sota_exp.training.listener import Listener, Request
    from sota_exp.training.run import run

    request = Request(configuration=configuration, directory=shown(directory))
    result = run(request, showing(Listener(), say=log.debug))
    return float(result["metrics"]["val/accuracy"])


class ShownStudySweeper(StudySweeper):
    """A sweeper that writes the study's report and logs it to MLflow if `tracking=mlflow`."""

    def show(self, study: Study, files: StudyFiles, status: str) -> list[str]:
        """Write the report of a finished study and log it to MLflow with its `status`; returns one line for each."""
        written = write_report(files.directory) if status == "FINISHED" else []
        return [*written, *show_in_mlflow(study, files, status)]


def show_in_mlflow(study: Study, files: StudyFiles, status: str) -> list[str]:
    """Log the study to MLflow if its configuration has tracking there; returns at most one line about it."""
    tracking = study.arms.ready[0].configuration.values["tracking"]
    if "experiment" not in tracking:
        return []
    from sota_exp.tracking.mlflow_study import show_study

    return [show_study(files.directory, tracking["uri"], tracking["experiment"], status)]


def write_report(directory: Path) -> list[str]:
    """Write the report beside study.json. An error is only printed, because the study itself is complete."""
    from sota_exp.report.study.page import report

    try:
        report(directory)
    except Exception as error:
        return [f"the report could not be written: {type(error).__name__}: {error}"]
    return [os.path.relpath(directory / "report.html")]
