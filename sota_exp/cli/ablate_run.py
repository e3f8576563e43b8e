"""One run of a study: an ordinary training that says little, since the study says how it goes; and how a study is shown."""

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
    """Train in Hydra's output directory; the validation accuracy."""
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
    """A study that is reported, and shown in MLflow where its configuration says."""

    def show(self, study: Study, files: StudyFiles, status: str) -> list[str]:
        """Report a study that has finished, and show it with MLflow's `status` of it; a line on each."""
        written = write_report(files.directory) if status == "FINISHED" else []
        return [*written, *show_in_mlflow(study, files, status)]


def show_in_mlflow(study: Study, files: StudyFiles, status: str) -> list[str]:
    """Show the study's page where its configuration says, with MLflow's status of it; a line on it."""
    tracking = study.arms.ready[0].configuration.values["tracking"]
    if "experiment" not in tracking:
        return []
    from sota_exp.tracking.mlflow_study import show_study

    return [show_study(files.directory, tracking["uri"], tracking["experiment"], status)]


def write_report(directory: Path) -> list[str]:
    """Write the report beside study.json; pages are an extra, whose mistakes end nothing."""
    from sota_exp.report.study.page import report

    try:
        report(directory)
    except Exception as error:
        return [f"the report could not be written: {type(error).__name__}: {error}"]
    return [os.path.relpath(directory / "report.html")]
