"""The simulation of a cluster: whatever is assumed, nothing is lost, nothing runs twice, and the times add up."""

import itertools
from dataclasses import replace

import pytest

from benchmarks.cluster import SCENARIOS, Cluster, describe, simulate
from tests.rows import each_row

SMALL = Cluster(num_runs=70, num_gpus=8)

ASSUMED = {
    **SCENARIOS,
    "fewer runs than GPUs": Cluster(num_runs=5),
    "one GPU": replace(SMALL, num_gpus=1),
    "a store that is too slow": replace(SMALL, train=1.0, transaction=0.1),
    "all at once": replace(SMALL, slow=0.5, preempted=300.0, in_batches=True),
}


@each_row("name, seed", itertools.product(ASSUMED, [0, 1]))
def test_each_run_ends_once_and_all_times_add_up(name: str, seed: int) -> None:
    cluster = ASSUMED[name]
    runs = simulate(cluster, seed)
    assert sorted(run.number for run in runs) == list(range(cluster.num_runs))
    makespan = max(run.ended for run in runs)
    assert makespan >= sum(run.work for run in runs) / cluster.num_gpus
    spent = cluster.num_gpus * cluster.command
    for gpu in range(cluster.num_gpus):
        own = sorted((run for run in runs if run.gpu == gpu), key=lambda run: run.asked)
        ends = [cluster.command, *(run.ended for run in own)]
        assert all(run.asked >= before for run, before in zip(own, ends, strict=False))
        spent += sum(run.ended - before for run, before in zip(own, ends, strict=False)) + makespan - ends[-1]
    assert spent == pytest.approx(cluster.num_gpus * makespan)
    assert float(describe(cluster, runs)[-1].replace(",", "")) == pytest.approx(spent / 3600 * cluster.price, abs=0.51)


@each_row("name", ASSUMED)
def test_lock_and_store_serve_one_at_a_time(name: str) -> None:
    cluster = ASSUMED[name]
    runs = simulate(cluster)
    for times, length in (
        (sorted(run.taken for run in runs), cluster.take),
        ([run.ended for run in runs], cluster.service),
    ):
        assert all(after - before >= length - 1e-6 for before, after in itertools.pairwise(times))
    for run in runs:
        assert run.asked <= run.taken < run.began < run.trained < run.ended
        lost = run.num_preemptions * (cluster.command + cluster.lost)
        assert run.trained - run.began == pytest.approx(run.work + lost)


def test_a_seed_gives_the_same_runs_and_a_batch_waits_for_its_slowest() -> None:
    assert simulate(SMALL) == simulate(SMALL) != simulate(SMALL, seed=1)
    alone, batches = (max(run.ended for run in simulate(replace(SMALL, in_batches=is_so))) for is_so in (False, True))
    assert batches > 1.2 * alone
