"""A sweep that is killed, run in copies, or cut off from its storage ends with exactly `n_trials` trials."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from sota_exp.sweep.storage import CONNECTION_ERRORS, StudyStorage
from tests.experiments import OFF, TINY
from tests.sweep import postgres
from tests.sweep.killing import TOY, assert_all_end_well, drive, found, start

pytestmark = pytest.mark.slow


def toy(num_trials, *more):
    return [
        "lr=tag(log,interval(0.001,10))",
        "hydra/sweeper/pruner=none",
        "hydra.sweeper.objective=val/x",
        f"hydra.sweeper.n_trials={num_trials}",
        "hydra.sweeper.retries=100",
        *more,
    ]


def assert_nothing_is_lost(place, url, num_trials):
    """Exactly `n_trials`, no trial left running, no directory with the files of two trials."""
    left = found(url, "sweep")
    assert (left.complete, left.running) == (list(range(num_trials)), [])
    for number in left.complete:
        lines = (place / "sweep" / str(number) / "values").read_text().splitlines()
        assert len(set(lines)) == 1, (number, lines)


def sqlite(place):
    return f"sqlite:///{place / 'sweep' / 'study.db'}"


@pytest.mark.parametrize("num_kills", [2, pytest.param(8, marks=pytest.mark.torture)])
def test_killed_at_random_moments_it_ends_with_exactly_the_total(tmp_path, num_kills):
    """`benchmarks/sweep_kills.py` kills thirty times."""
    num_trials = 2 * num_kills + 2
    assert drive(toy(num_trials, "seconds=0.2"), tmp_path, num_kills, reach=0.4) >= num_kills - 1
    assert_nothing_is_lost(tmp_path, sqlite(tmp_path), num_trials)


@pytest.mark.parametrize(
    "number",
    [signal.SIGUSR1, *(pytest.param(each, marks=pytest.mark.torture) for each in (signal.SIGTERM, signal.SIGHUP))],
)
def test_a_signal_in_a_trial_ends_the_sweep_with_a_checkpoint_and_the_trial_goes_on(tmp_path, number):
    command = ["sweep", *TINY, *OFF, "schedule.length.epochs=40", "optimizer.lr=tag(log,interval(0.001,0.1))",
               "hydra.sweeper.n_trials=2", "hydra.sweep.dir=sweep", "hydra/sweeper/pruner=none",
               "hydra.sweeper.confirm.top=0"]  # fmt: skip
    process = start(command, tmp_path, None)
    while not (tmp_path / "sweep/0/metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait() == 128 + number, (tmp_path / "log.txt").read_text()
    assert json.loads((tmp_path / "sweep/0/result.json").read_text())["status"] == "interrupted"
    assert_all_end_well([start(command, tmp_path, None)], tmp_path)
    results = [json.loads((tmp_path / f"sweep/{trial}/result.json").read_text()) for trial in (0, 1)]
    assert [(result["status"], result["resumed"]) for result in results] == [("finished", 1), ("finished", 0)]


@pytest.mark.torture  # test_loop.py loses a trial of a batch in one process
def test_workers_that_kill_themselves_are_replaced(tmp_path):
    """The first process of every trial dies, and joblib loses its batch each time."""
    arguments = toy(2, "kind=killed", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")
    # joblib's workers take no part in a fork: they wait for ever.
    done = subprocess.run([sys.executable, str(TOY), *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:]
    assert_nothing_is_lost(tmp_path, sqlite(tmp_path), 2)


def test_three_copies_share_an_sqlite_study(tmp_path):
    copies = [start(toy(9, "seconds=0.05"), tmp_path) for _ in range(3)]
    assert_all_end_well(copies, tmp_path)
    assert_nothing_is_lost(tmp_path, sqlite(tmp_path), 9)


needs_postgres = pytest.mark.skipif(
    postgres.binaries() is None, reason="PostgreSQL is not installed: apt-get install postgresql"
)


#: Bounded: copies that are cut more often than they get through a request would never end.
NUM_CUTS = 20


@needs_postgres
def test_three_copies_share_a_postgresql_study_whose_connections_are_cut(tmp_path):
    with postgres.server() as server:
        command = toy(9, "seconds=0.3", f"hydra.sweeper.storage={server.url}")
        copies = [start(command, tmp_path) for _ in range(3)]
        cut_at_random(server, copies)
        assert_all_end_well(copies, tmp_path)
        left = found(server.url, "sweep")
        assert (len(left.complete), left.running) == (9, [])


@needs_postgres
def test_a_turn_that_ends_with_its_connection_is_noticed():
    with postgres.server() as server, contextlib.ExitStack() as stack:
        first, second = (StudyStorage(url=server.url, name="s", heartbeat=1, grace=5) for _ in range(2))
        check = stack.enter_context(first.lock())
        check()
        cut(server)
        with second.lock() as other:
            other()
            with pytest.raises(CONNECTION_ERRORS):
                check()
            other()


def cut(server):
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def cut_at_random(server, copies):
    """Every connection but this one is ended a few times, while copies run; once the server itself goes down."""
    rng = random.Random(0)
    for number in range(NUM_CUTS):
        time.sleep(rng.uniform(0.2, 0.6))
        if all(copy.poll() is not None for copy in copies):
            return
        if number == 2:
            server.stop("immediate")
            server.start()
        else:
            cut(server)
