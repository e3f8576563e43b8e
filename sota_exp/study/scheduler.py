"""The study as it runs: which run comes next, what is done when one ends, and that repeating the command goes on.

A run is launched once its training isn't shared with an unfinished one; runs that are finished, or that failed in a way that would
come again, are never launched. After every batch the files are read again and `study.json` is written.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sota_exp.study.arms import ReadyArm
from sota_exp.study.files import StudyFiles, training_key, trainings
from sota_exp.study.results import Row, Runs, Study
from sota_exp.study.study_json import outcome
from sota_exp.study.tests_of_arms import tested, wanted_seeds

#: `study.json` is written between runs at most this often in seconds, and at the end.
WRITE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to be made: of which arm, with which of the study's seeds, where."""

    arm: ReadyArm
    seed: int
    place: str

    @property
    def overrides(self) -> list[str]:
        return [*self.arm.overrides, f"seed={self.seed + self.arm.arm.seed_offset}"]

    @property
    def name(self) -> str:
        return f"{self.arm.name}, seed {self.seed + self.arm.arm.seed_offset}"


#: Trains the jobs; of each, None or why it failed. Raises `Interrupted`.
Launch = Callable[[Sequence[Job]], Sequence[str | None]]


@dataclass(kw_only=True)
class Ablation:
    """A study in its directory. failures: place → why a run failed in this process without saying so in its files."""

    study: Study
    files: StudyFiles
    launch: Launch
    batch_size: int | None
    on_job: Callable[["Ablation", Job, str | None], None]
    failures: dict[str, str] = field(default_factory=dict)
    written_at: float = 0.0

    def run(self) -> Row:
        """Train what is missing; the content of `study.json`, which is written also where a signal or an error ends it."""
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
        found = outcome(self.study, self.read())
        self.files.write(found)
        self.written_at = time.monotonic()
        return found

    def read(self) -> Runs:
        return Runs.read(self.study, self.files, self.failures)

    def next_jobs(self) -> list[Job]:
        """All that can be launched now, seed by seed, so that an interrupted study compares what it can."""
        return [job for job in self.open_jobs() if self._is_ready(job)]

    def open_jobs(self) -> list[Job]:
        """Every run that is wanted and missing; one of several arms that share a run, or all, stand for it once."""
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
        """Whether its training is its own, or there to be shared; a shared one that failed is left to fail again."""
        source = self.source(job)
        if source is None or source == job.place:
            return True
        if self.files.is_finished(source):
            self.files.share_training(source, job.place)
            return True
        return self._is_over(source)

    def source(self, job: Job) -> str | None:
        """The place of the run that trains for this one: the first wanted arm's with the same training."""
        return self.files.place(trainings(self.study.arms)[training_key(job.arm)], job.seed)
