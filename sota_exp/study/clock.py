"""The clock of a study whose `study.time` is a time: which seeds are begun, and whether the plan holds.

A seed is begun if all its runs are expected to end in time, by the mean time of those that ended, and is then finished.
Which technique a difference is for or against plays no part: turning the signs of a whole seed's differences leaves its
time as it is. So the test of the seeds that are whole is that of a study with so many seeds.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sota_exp.report.numbers import format_duration
from sota_exp.study.files import ArmRun
from sota_exp.study.results import PlannedStudy

#: A plan is late if runs take this many times what it promised, on average over as many runs of each worker.
LATE, LEAST_RUNS = 1.3, 3


@dataclass(kw_only=True)
class StudyClock:
    """Chooses the next runs of a command. Without a deadline it takes all of them.

    deadline: in seconds of `time.monotonic`. expected: arm → seconds of a run, of those at a time each its share; empty
    where that is unknown. num_at_once: runs that are trained at a time. began: when the first run was.
    ended: arms of the runs that have ended since. seeds: that were begun.
    """

    deadline: float = math.inf
    expected: Mapping[str, float] = field(default_factory=dict)
    num_at_once: int = 1
    began: float = field(default_factory=time.monotonic)
    ended: list[str] = field(default_factory=list)
    seeds: set[int] = field(default_factory=set)
    was_late: bool = False

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    @property
    def seconds_per_run(self) -> float:
        """The mean of the runs that have ended."""
        return (time.monotonic() - self.began) / max(1, len(self.ended))

    def choose(self, missing: Sequence[ArmRun]) -> list[ArmRun]:
        """The runs of `missing` to be trained now: those of seeds that were begun, else of the next that fit."""
        if math.isinf(self.deadline):
            return list(missing)
        if not self.seeds & {job.seed for job in missing}:
            self.seeds |= set(self._choose_seeds(missing))
        return [job for job in missing if job.seed in self.seeds]

    def _choose_seeds(self, missing: Sequence[ArmRun]) -> list[int]:
        """Seeds enough for all workers, or where there are several, as many as take half of the time that is left.

        So workers wait for each other a few times only, and a seed is not begun that ends too late.
        """
        chosen, num_runs = list[int](), 0
        for seed, num in Counter(job.seed for job in missing).items():
            is_first = num_runs < self.num_at_once
            share = 1.0 if is_first else 0.5 if self.num_at_once > 1 else 0.0
            num_runs += num
            fits = self.seconds_per_run * num_runs <= share * self.seconds_left if self.ended else is_first
            if not fits:
                break
            chosen.append(seed)
        return chosen

    def warn(self, num_runs: int) -> str:
        """That the runs take longer than planned, and how many fit; empty if they don't, or it was said before.

        num_runs: of this command, those that have ended too.
        """
        expected = [self.expected[name] for name in self.ended if name in self.expected]
        if self.was_late or len(self.ended) < LEAST_RUNS * self.num_at_once or not expected:
            return ""
        planned = sum(expected) / len(expected)
        now, num_fitting = self.seconds_per_run, int((self.deadline - self.began) / self.seconds_per_run)
        if now <= LATE * planned or num_fitting >= num_runs:
            return ""
        self.was_late = True
        return (
            f"Slower than planned: a run ends every {format_duration(now)} instead of {format_duration(planned)}, so "
            f"about {max(num_fitting, len(self.ended))} of {num_runs} runs fit. The study ends with the last whole "
            f"seed that does; all would take {format_duration(now * num_runs)}."
        )


def keep_whole_seeds(study: PlannedStudy, missing: Sequence[ArmRun]) -> PlannedStudy:
    """The study without the seeds of which runs are missing, as if no more had been planned.

    Verdicts at any time hold for all seeds there are, so such a study stays as it is.
    """
    left = {job.seed for job in missing}
    seeds = tuple(seed for seed in study.seeds if seed not in left)
    return study if study.settings.has_anytime_looks or not seeds else replace(study, seeds=seeds)
