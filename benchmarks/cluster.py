"""A simulation of 1,000 runs on 64 GPUs: queue, load of the store, stragglers, preemptions, cost.

`python -m benchmarks.cluster` prints the table of docs/scale.md. Each GPU belongs to a copy of the command, which takes a
trial under the study's lock, one at a time in the whole cluster, trains it and takes the next. What a run costs beside its
training was measured (benchmarks/trials.py, benchmarks/shared_stores.py); times of trainings, slow nodes and preemptions
are assumed, and named in each row.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What a simulation assumes; times in seconds.

    Measured: command: from its start to its first trial. between: what a further trial takes beside its training. take:
    under the lock of the study. transactions, transaction: of a run of 30 epochs in both databases, and the length of one.
    mlflow: what its server works for a run. lost: training that a kill loses, until the last checkpoint.
    Assumed: train: median of a training, spread: its standard deviation of the logarithm. slow: share of the GPUs that are
    `slowness` times as slow. preempted: mean time of a GPU until the next preemption. price: of a GPU's hour.
    in_batches: the runs are started 64 at a time (`n_jobs=64` in one command), and a batch waits for its slowest.
    """

    num_runs: int = 1000
    num_gpus: int = 64
    command: float = 4.5
    between: float = 0.28
    take: float = 0.03
    transactions: int = 521
    transaction: float = 0.001
    mlflow: float = 0.1
    lost: float = 10.0
    train: float = 600.0
    spread: float = 0.3
    slow: float = 0.0
    slowness: float = 2.0
    preempted: float = float("inf")
    price: float = 2.0
    in_batches: bool = False

    @property
    def service(self) -> float:
        """Seconds for which the servers of the stores work for a run, one after the other."""
        return self.mlflow + self.transactions * self.transaction


class SimulatedRun(NamedTuple):
    """A run on a GPU: when it asked for the lock, had it, began to train, was trained, and had its values in the store."""

    number: int
    gpu: int
    asked: float
    taken: float
    began: float
    trained: float
    ended: float
    work: float
    num_preemptions: int


def simulate(cluster: Cluster, seed: int = 0) -> list[SimulatedRun]:
    """All runs, in the order of their ends. Lock and store serve one after the other, whoever comes first."""
    rng = np.random.default_rng(seed)
    works = cluster.train * np.exp(cluster.spread * rng.standard_normal(cluster.num_runs))
    slow = round(cluster.slow * cluster.num_gpus)
    events: list[tuple[float, int, SimulatedRun | None]] = [
        (cluster.command, gpu, None) for gpu in range(cluster.num_gpus)
    ]
    todo, found, waiting = list(enumerate(works.tolist()))[::-1], list[SimulatedRun](), list[int]()
    unlocked = stored = 0.0
    while events:
        now, gpu, run = heapq.heappop(events)
        if run is not None:  # Its values go to the store.
            stored = max(now, stored) + cluster.service
            found.append(run._replace(ended=stored))
            heapq.heappush(events, (stored, gpu, None))
        elif cluster.in_batches and len(found) % cluster.num_gpus:
            waiting.append(gpu)
        elif todo:
            for free in (*waiting, gpu):
                if not todo:
                    break
                number, work = todo.pop()
                work *= cluster.slowness if free < slow else 1.0
                taken = max(now, unlocked)
                unlocked = taken + cluster.take
                lost, num = draw_preemptions(cluster, work, rng)
                began = unlocked + cluster.between
                run = SimulatedRun(number, free, now, taken, began, began + work + lost, 0.0, work, num)
                heapq.heappush(events, (run.trained, free, run))
            waiting.clear()
    return found


def draw_preemptions(cluster: Cluster, work: float, rng: np.random.Generator) -> tuple[float, int]:
    """Seconds that the preemptions of a run cost, and their number: the command starts anew, from the checkpoint."""
    num, done = 0, 0.0
    while (step := float(rng.exponential(cluster.preempted))) < work - done:
        done += max(step - cluster.lost, 0.0)
        num += 1
    return num * (cluster.command + cluster.lost), num


def describe(cluster: Cluster, runs: Sequence[SimulatedRun]) -> list[str]:
    """The cells of a row: hours until the last run has ended, share of the GPUs' time that trains, and so on."""
    makespan = max(run.ended for run in runs)
    ends = [max(run.ended for run in runs if run.gpu == gpu) for gpu in {run.gpu for run in runs}]
    store = len(runs) * cluster.service / makespan
    hours = cluster.num_gpus * makespan / 3600
    return [
        f"{makespan / 3600:.2f}",
        f"{sum(run.work for run in runs) / 3600 / hours:.0%}",
        f"{sum(makespan - end for end in ends) / 3600:.1f}",
        f"{max(run.taken - run.asked for run in runs):.1f}",
        f"{max(run.ended - run.trained for run in runs):.1f}",
        f"{store:.0%}",
        f"{sum(run.num_preemptions for run in runs)}",
        f"{hours * cluster.price:,.0f}",
    ]


HEADINGS = ("hours", "of the GPUs' time trains", "idle GPU hours at the end", "longest wait for the lock, s")
HEADINGS += ("for the store, s", "store busy", "preemptions", "cost, $")

TEN_MINUTES = Cluster()

SCENARIOS = {
    "runs of 10 minutes": TEN_MINUTES,
    "in batches of 64 (`n_jobs=64`)": replace(TEN_MINUTES, in_batches=True),
    "one GPU in 16 half as fast": replace(TEN_MINUTES, slow=1 / 16),
    "the same, in batches": replace(TEN_MINUTES, slow=1 / 16, in_batches=True),
    "a preemption per GPU and hour": replace(TEN_MINUTES, preempted=3600.0),
    "runs of a minute": replace(TEN_MINUTES, train=60.0),
    "runs of ten seconds": replace(TEN_MINUTES, train=10.0),
    "runs of a second": replace(TEN_MINUTES, train=1.0),
}


if __name__ == "__main__":
    print(f"| 1,000 runs on 64 GPUs | {' | '.join(HEADINGS)} |")
    print(f"|---|{'---:|' * len(HEADINGS)}")
    for name, cluster in SCENARIOS.items():
        print(f"| {name} | {' | '.join(describe(cluster, simulate(cluster)))} |")
