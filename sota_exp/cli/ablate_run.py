"""Trains one run of a study with little output, and writes the report of a finished study."""

import logging
import os
from pathlib import Path

from omegaconf import DictConfig

from sota_exp.config import compose
from sota_exp.config.rules import check_rules
from sota_exp.study.files import StudyFiles
from sota_exp.study.hydra_sweeper import StudySweeper
from sota_exp.study.results import PlannedStudy

log = logging.getLogger(__name__)


def train_arm_run(config: DictConfig) -> float:
    """Train in Hydra's output directory and return the validation accuracy in [0, 1]."""
    directory, configuration = compose.get_output_directory(), compose.get_job_configuration(config)
    check_rules(configuration)
    from sota_exp.report.terminal import shorten_path
    from sota_exp.tracking.listeners import add_tracking
    from sota_exp.training.listener import Listener, RunRequest
    from sota_exp.training.run import run

    request = RunRequest(configuration=configuration, directory=shorten_path(directory))
    result = run(request, add_tracking(Listener(), say=log.debug))
    return float(result["metrics"]["val/accuracy"])


class ReportingStudySweeper(StudySweeper):
    """A sweeper that writes the study's report and logs it to MLflow if `tracking=mlflow`."""

    def show(self, study: PlannedStudy, files: StudyFiles, status: str) -> list[str]:
        """Write the report of a finished study and log it to MLflow with its `status`; returns one line for each."""
        from sota_exp.tracking.mlflow_parent import end_parent_run

        written = write_study_report_safely(files.directory) if status == "FINISHED" else []
        tracking = study.arms.ready[0].configuration.values["tracking"]
        return [*written, *end_parent_run(files.directory, tracking, status)]


def write_study_report_safely(directory: Path) -> list[str]:
    """Write the report beside study.json. An error is only printed, because the study itself is complete."""
    from sota_exp.report.study.page import write_study_report

    try:
        write_study_report(directory)
    except Exception as error:
        return [f"the report could not be written: {type(error).__name__}: {error}"]
    return [os.path.relpath(directory / "report.html")]
