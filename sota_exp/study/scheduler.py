"""The runs of a study: which one is launched next, and what is done when one ends. A repeated command goes on.

A run waits for the run that trains its weights, if it shares a training. Runs that are finished, or that would fail
again in the same way, are not launched. After every batch of runs the files are read again and `study.json` is written.
Where the study has a time, the clock chooses the seeds that fit.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sota_exp.config.launch import MAX_LOSSES
from sota_exp.errors import ConfigError, RunFailed, RunLost, first_line, in_a_line
from sota_exp.study.clock import StudyClock, keep_whole_seeds
from sota_exp.study.files import ArmRun, StudyFiles, find_trainings
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.study.verdicts import find_wanted_seeds, run_arm_tests

#: Least seconds between two writes of `study.json`; it is also written at the end.
MIN_WRITE_SECONDS = 20.0


#: Trains jobs and calls the function every second meanwhile; returns per job None, or why it failed.
Launch = Callable[[Sequence[ArmRun], Callable[[], None]], Sequence[Exception | None]]


@dataclass(kw_only=True)
class StudyScheduler:
    """A study that runs in its directory.

    batch_size: jobs per launch, None for all. on_job: called after each run, with the reason if it failed, and how many
    runs are left as far as is known: a look may want more of them. build: makes the content of `study.json`. failures:
    place → why a run of this command failed. written_at: when `study.json` was written, in seconds of
    `time.monotonic`. num_losses: place → how often the launcher lost the run.
    """

    study: PlannedStudy
    files: StudyFiles
    launch: Launch
    batch_size: int | None
    on_job: Callable[[ArmRun, str | None, int], None]
    build: Callable[[PlannedStudy, StudyRuns], JsonObject] = build_study_json
    clock: StudyClock = field(default_factory=StudyClock)
    failures: dict[str, str] = field(default_factory=dict)
    written_at: float = 0.0
    num_losses: Counter[str] = field(default_factory=Counter)

    def run(self) -> JsonObject:
        """Train the missing runs; returns the content of `study.json`, which is written even after a signal.

        Raises:
            ConfigError: the first result has no value of the study's metric.
        """
        try:
            while jobs := list(filter(self._is_ready, self.clock.choose(missing := self.find_missing_runs()))):
                self._run_batch(jobs[: self.batch_size], len(missing))
            self.study = keep_whole_seeds(self.study, missing)
        finally:
            found = self.write()
        return found

    def _run_batch(self, batch: Sequence[ArmRun], num_missing: int) -> None:
        """Launch a batch; each run is told when its result is there, be the others still running or not."""
        before = {job.place: self.files.get_result_time(job.place) for job in batch}
        open_jobs = list(batch)

        def tell(job: ArmRun, reason: str | None) -> None:
            open_jobs.remove(job)
            if reason is not None:
                self.failures[job.place] = reason
            self.clock.ended.append(job.arm.name)
            self.on_job(job, reason, num_missing - len(batch) + len(open_jobs))
            if time.monotonic() - self.written_at > MIN_WRITE_SECONDS:
                self.write()

        def look() -> None:
            for job in list(open_jobs):
                if self.files.is_finished(job.place):
                    tell(job, None)
                elif self.files.get_result_time(job.place) != before[job.place]:
                    found = self.files.result(job.place) or {}
                    if found.get("status") == "failed":
                        tell(job, str(found["reason"]))

        for job, error in zip(batch, self.launch(batch, look), strict=True):
            if job not in open_jobs:
                continue
            self.num_losses[job.place] += isinstance(error, RunLost)
            if self.files.is_finished(job.place):
                tell(job, None)
            elif not isinstance(error, RunLost) or self.num_losses[job.place] == MAX_LOSSES:
                tell(job, _describe(error))

    def write(self) -> JsonObject:
        """Write `study.json` from the files of the runs, and return its content."""
        found = self.build(self.study, StudyRuns.read(self.study, self.files, self.failures))
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


def _describe(error: Exception | None) -> str:
    """Why a run has no result, in one line."""
    if error is None:
        return "it ended without a result"
    return first_line(error) if isinstance(error, ConfigError | RunFailed) else in_a_line(error)
