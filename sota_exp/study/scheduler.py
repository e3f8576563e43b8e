"""The runs of a study: which one is launched next, and what is done when one ends. A repeated command goes on.

A run waits for the run that trains its weights, if it shares a training. Runs that are finished, or that would fail
again in the same way, are not launched. After every batch of runs the files are read again and `study.json` is written.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import StudyFiles, find_trainings
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.study.verdicts import find_wanted_seeds, run_arm_tests

#: Least seconds between two writes of `study.json`; it is also written at the end.
MIN_WRITE_SECONDS = 20.0

#: How often a run may be lost with its launcher's workers before it counts as failed.
MAX_LOSSES = 3


class RunsLost(Exception):
    """The launcher lost a worker, and does not say which of its runs; they go on where they were launched again."""


@dataclass(frozen=True, kw_only=True)
class ArmRun:
    """A run to be trained: its arm, its seed among those of the study, and its directory."""

    arm: ComposedArm
    seed: int
    place: str

    @property
    def name(self) -> str:
        return f"{self.arm.name}, seed {self.seed + self.arm.arm.seed_offset}"


@dataclass(kw_only=True)
class StudyScheduler:
    """A study that runs in its directory.

    launch: trains the jobs; returns per job None, or the reason why it failed. batch_size: jobs per launch, None for
    all. failures: place → why a run of this process failed without writing a result. written_at: when `study.json` was
    written, in seconds of `time.monotonic`. num_losses: place → how often its launcher lost it.
    """

    study: PlannedStudy
    files: StudyFiles
    launch: Callable[[Sequence[ArmRun]], Sequence[str | None]]
    batch_size: int | None
    failures: dict[str, str] = field(default_factory=dict)
    written_at: float = 0.0
    num_losses: Counter[str] = field(default_factory=Counter)

    def run(self, on_job: Callable[[ArmRun, str | None, int], None]) -> JsonObject:
        """Train the missing runs; returns the content of `study.json`, which is written even after a signal.

        on_job: called after each run, with the reason if it failed, and how many runs are left as far as is known: a
        look may want more of them.

        Raises:
            ConfigError: the first result has no value of the study's metric.
        """
        try:
            while jobs := list(filter(self._is_ready, missing := self.find_missing_runs())):
                batch = jobs[: self.batch_size]
                for num_done, (job, reason) in enumerate(zip(batch, self._launch(batch), strict=True), 1):
                    if not self.files.is_finished(job.place):
                        if 0 < self.num_losses[job.place] < MAX_LOSSES:
                            continue
                        self.failures[job.place] = reason or "it ended without a result"
                    on_job(job, self.failures.get(job.place), len(missing) - num_done)
                if time.monotonic() - self.written_at > MIN_WRITE_SECONDS:
                    self.write()
        finally:
            found = self.write()
        return found

    def _launch(self, batch: Sequence[ArmRun]) -> Sequence[str | None]:
        """`launch`; runs that were lost are counted."""
        try:
            reasons = self.launch(batch)
        except RunsLost as error:
            lost = [job.place for job in batch if not self.files.is_finished(job.place)]
            self.num_losses.update(lost)
            reasons = [str(error)] * len(batch)
        else:
            for job in batch:
                del self.num_losses[job.place]
        return reasons

    def write(self) -> JsonObject:
        """Write `study.json` from the files of the runs, and return its content."""
        found = build_study_json(self.study, StudyRuns.read(self.study, self.files, self.failures))
        self.files.write(found)
        self.written_at = time.monotonic()
        return found

    def find_missing_runs(self) -> list[ArmRun]:
        """Every run that is wanted and missing, seed by seed, so that an interrupted study can compare its arms.

        A run that several arms share is listed once.

        Raises:
            ConfigError: the results have no value of the study's metric.
        """
        runs = StudyRuns.read(self.study, self.files, self.failures)
        if runs.first is not None:
            self.study.settings.require_among(runs.first["metrics"])
        wanted = find_wanted_seeds(self.study, run_arm_tests(self.study, runs))
        found: dict[str, ArmRun] = {}
        for seed in self.study.seeds:
            for arm in self.study.arms.ready:
                job = ArmRun(arm=arm, seed=seed, place=self.files.place(arm, seed))
                if seed in wanted[arm.name] and not self._is_over(job.place):
                    found.setdefault(job.place, job)
        return list(found.values())

    def _is_over(self, place: str) -> bool:
        return (
            place in self.failures
            or self.files.is_finished(place)
            or self.files.find_repeatable_failure(place) is not None
        )

    def _is_ready(self, job: ArmRun) -> bool:
        """Whether it trains itself, or the training it shares is over; copies a finished one to its directory.

        If the shared training failed, the run trains itself and fails in turn.
        """
        trained = find_trainings(self.study.arms)[job.arm.training_key]
        source = self.files.place(trained, job.seed)
        if source == job.place:
            return True
        if self.files.is_finished(source):
            self.files.copy_training(source, job.place)
            return True
        return self._is_over(source)
