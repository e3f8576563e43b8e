"""The runs of a study: which one is launched next, and what is done when one ends. A repeated command goes on.

A run waits for the run that trains its weights, if it shares a training. Runs that are finished, or that would fail
again in the same way, are not launched. After every batch of runs the files are read again and `study.json` is written.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sota_exp.study.arms import ReadyArm
from sota_exp.study.files import StudyFiles, training_key, trainings
from sota_exp.study.results import Row, Runs, Study
from sota_exp.study.study_json import outcome
from sota_exp.study.tests_of_arms import tested, wanted_seeds

#: Least seconds between two writes of `study.json`; it is also written at the end.
WRITE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to be trained: its arm, its seed among those of the study, and its directory."""

    arm: ReadyArm
    seed: int
    place: str

    @property
    def overrides(self) -> list[str]:
        return [*self.arm.overrides, f"seed={self.seed + self.arm.arm.seed_offset}"]

    @property
    def name(self) -> str:
        return f"{self.arm.name}, seed {self.seed + self.arm.arm.seed_offset}"


#: Trains the jobs; returns per job None, or the reason why it failed. Raises `Interrupted`.
Launch = Callable[[Sequence[Job]], Sequence[str | None]]


@dataclass(kw_only=True)
class Ablation:
    """A study that runs in its directory.

    batch_size: jobs per launch, None for all. failures: place → why a run of this process failed without writing a
    result. written_at: when `study.json` was written, in seconds of `time.monotonic`.
    """

    study: Study
    files: StudyFiles
    launch: Launch
    batch_size: int | None
    on_job: Callable[["Ablation", Job, str | None], None]
    failures: dict[str, str] = field(default_factory=dict)
    written_at: float = 0.0

    def run(self) -> Row:
        """Train the missing runs; returns the content of `study.json`, which is written even after a signal."""
        try:
            while jobs := self.next_jobs():
                batch = jobs[: self.batch_size]
                for job, reason in zip(batch, self.launch(batch), strict=True):
                    if not self.files.is_finished(job.place):
                        self.failures[job.place] = reason or "it ended without a result"
                    self.on_job(self, job, self.failures.get(job.place))
                if time.monotonic() - self.written_at > WRITE_SECONDS:
                    self.write()
        finally:
            found = self.write()
        return found

    def write(self) -> Row:
        """Write `study.json` from the files of the runs, and return its content."""
        found = outcome(self.study, self.read())
        self.files.write(found)
        self.written_at = time.monotonic()
        return found

    def read(self) -> Runs:
        return Runs.read(self.study, self.files, self.failures)

    def next_jobs(self) -> list[Job]:
        """The runs that can be launched now, seed by seed, so that an interrupted study can compare its arms."""
        return [job for job in self.open_jobs() if self._is_ready(job)]

    def open_jobs(self) -> list[Job]:
        """Every run that is wanted and missing; a run that several arms share is listed once."""
        wanted = wanted_seeds(self.study, tested(self.study, self.read()))
        found: dict[str, Job] = {}
        for seed in self.study.seeds:
            for arm in self.study.arms.ready:
                job = Job(arm=arm, seed=seed, place=self.files.place(arm, seed))
                if seed in wanted[arm.name] and not self._is_over(job.place):
                    found.setdefault(job.place, job)
        return list(found.values())

    def _is_over(self, place: str) -> bool:
        return place in self.failures or self.files.is_finished(place) or self.files.final_failure(place) is not None

    def _is_ready(self, job: Job) -> bool:
        """Whether it trains itself, or the training it shares is over; copies a finished one to its directory.

        If the shared training failed, the run trains itself and fails in turn.
        """
        source = self.source(job)
        if source == job.place:
            return True
        if self.files.is_finished(source):
            self.files.share_training(source, job.place)
            return True
        return self._is_over(source)

    def source(self, job: Job) -> str:
        """The directory of the run whose training this one uses: that of the first arm with the same training."""
        return self.files.place(trainings(self.study.arms)[training_key(job.arm)], job.seed)
