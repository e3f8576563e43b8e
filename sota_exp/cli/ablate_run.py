"""Trains one run of a study with little output, and writes the report of a finished study."""

import logging
import os
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from omegaconf import DictConfig
from rich.console import RenderableType

from sota_exp.config import compose
from sota_exp.config.launch import is_followed_by_another_process
from sota_exp.config.rules import check_rules
from sota_exp.config.shell_words import quote_word
from sota_exp.config.split_of_seed import get_split
from sota_exp.errors import in_a_line
from sota_exp.report.terminal import make_console, shorten_path
from sota_exp.runs.lock import wait_for_owner
from sota_exp.study.files import StudyFiles
from sota_exp.study.hydra_sweeper import StudySweeper
from sota_exp.study.results import PlannedStudy

log = logging.getLogger(__name__)


def train_arm_run(config: DictConfig) -> float:
    """Train in Hydra's output directory and return the validation accuracy in [0, 1]."""
    directory, configuration = compose.get_output_directory(), compose.get_job_configuration(config)
    check_rules(configuration)
    from sota_exp.tracking.listeners import add_tracking
    from sota_exp.training.listener import Listener, RunRequest
    from sota_exp.training.run import run

    files = compose.build_hydra_files(config)
    request = RunRequest(configuration=configuration, directory=shorten_path(directory), hydra_files=files)
    if is_followed_by_another_process():
        wait_for_owner(directory)
    result = run(request, add_tracking(Listener(), say=log.debug))
    return float(result["metrics"]["val/accuracy"])


class ShownPlan(NamedTuple):
    """A plan as it was printed. costs: arm → seconds of a run, or why they are unknown."""

    study: PlannedStudy
    files: StudyFiles
    shown: RenderableType
    costs: Mapping[str, object]


def format_prediction(study: PlannedStudy, files: StudyFiles) -> list[str]:
    """The command that classifies an image by the first arm of a cross-validated study; [] of other studies."""
    arm = study.arms.ready[0]
    is_model = not arm.arm.is_cell and files.count_finished(arm, study.seeds) > 0
    if not is_model or "folds" not in get_split(arm.configuration.values):
        return []
    place = (files.directory / files.place(arm, study.seeds[0])).parent
    return [f"sota-exp predict {quote_word(os.path.relpath(place))} new.jpg"]


class ReportingStudySweeper(StudySweeper):
    """A sweeper that writes the study's report and logs it to MLflow if `tracking=mlflow`."""

    #: What `sota_exp.plan` returns, as Hydra returns nothing.
    last_plan: ClassVar[ShownPlan]

    def show_plan(
        self, study: PlannedStudy, files: StudyFiles, shown: RenderableType, costs: Mapping[str, object]
    ) -> None:
        make_console().print(shown)
        ReportingStudySweeper.last_plan = ShownPlan(study, files, shown, costs)

    def sweep(self, arguments: list[str]) -> Any:
        from sota_exp.study.conduct import run_study  # imports SciPy

        return run_study(self, arguments)

    def show(self, study: PlannedStudy, files: StudyFiles, status: str) -> list[str]:
        """Write the report of a finished study and log it to MLflow with its `status`; returns one line for each."""
        from sota_exp.report.study.page import write_study_report
        from sota_exp.tracking.mlflow_parent import end_parent_run

        written = []
        if status == "FINISHED":
            try:
                write_study_report(files.directory)
                written.append(os.path.relpath(files.directory / "report.html"))
                written += format_prediction(study, files)
            except Exception as error:  # The study itself is complete.
                written.append(f"the report could not be written: {in_a_line(error)}")
        tracking = study.arms.ready[0].configuration.values["tracking"]
        return [*written, *end_parent_run(files.directory, tracking, status)]
