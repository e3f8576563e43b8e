"""Many short runs: memory, files, threads, sockets and processes stay flat: in one process, in several on one MLflow store,
and with a server that does not answer.

`python -m tests.torture.soak --runs 300 --processes 4 --runs_each 20`
"""

import argparse
import contextlib
import gc
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import linear_regression
from unittest import mock

import psutil

from tests.composing import compositions_share_their_work
from tests.experiments import TINY
from tests.torture.fuzz import call

#: What may be more after a hundred runs more, on the line through all but the first fifth: MiB, and how many.
MOST_GROWTH = {"MiB": 4.0, "files": 1.0, "threads": 1.0, "sockets": 1.0, "processes": 1.0}

#: Runs of a process below which a line says little: its row is shown only.
LEAST_RUNS = 50

SHORT = ("train", *TINY, "recipe=baseline", "schedule.length.epochs=1")


def count_resources() -> dict[str, float]:
    """What this process holds: MiB of memory, open files (pipes too), threads, sockets, processes that it started."""
    gc.collect()
    process = psutil.Process()
    return {
        "MiB": process.memory_info().rss / 2**20,
        "files": float(process.num_fds()),
        "threads": float(process.num_threads()),
        "sockets": float(len(process.net_connections())),
        "processes": float(len(process.children())),
    }


def train_many(place: str, name: str, num: int, words: Sequence[str] = ()) -> list[dict[str, float]]:
    """What this process holds after each of `num` runs below a folder."""
    found = []
    settings = {"OMP_NUM_THREADS": "1", "SOTA_EXP_CACHE": f"{place}/cache", "HYDRA_FULL_ERROR": "1"}
    with contextlib.chdir(place), mock.patch.dict(os.environ, settings), compositions_share_their_work():
        for index in range(num):
            code, text = call([*SHORT, *words, f"seed={index}", f"hydra.run.dir=outputs/{name}{index}"])
            assert code == 0, text
            found.append(count_resources())
    return found


def find_growth(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """How much more is held after a hundred runs more, by the line through what was held after all but the first fifth."""
    late = found[len(found) // 5 :]
    return {
        name: 100 * linear_regression(range(len(late)), [each[name] for each in late]).slope for name in MOST_GROWTH
    }


def count_stored(place: Path) -> dict[str, int]:
    """How many runs, and points per run, the MLflow store of a folder has."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sota_exp")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    return {run.info.run_name: len(client.get_metric_history(run.info.run_id, "val/accuracy")) for run in runs}


def main(arguments: list[str] | None = None) -> int:
    """Train, print a table, and return 1 if something grows or a run is not stored once."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak")
    parser.add_argument("--runs", type=int, default=300, help="runs of one process (300)")
    parser.add_argument("--unanswered", type=int, default=60, help="runs of one process whose server is gone (60)")
    parser.add_argument("--processes", type=int, default=4, help="processes on one MLflow store (4)")
    parser.add_argument("--runs_each", type=int, default=10, help="runs of each of them (10)")
    given = parser.parse_args(arguments)
    rows: list[tuple[str, int, dict[str, float], float]] = []
    is_wrong = False
    gone = ("tracking=mlflow", "tracking.uri=http://127.0.0.1:9", "tracking.system_metrics=false")
    for words, num, tracking in (
        ("one process", given.runs, ()),
        ("one process, MLflow server gone", given.unanswered, gone),
    ):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            found = train_many(folder, "one", num, tracking)
            rows.append((words, num, find_growth(found), time.monotonic() - began))
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        tracked = ("tracking=mlflow", "tracking.system_metrics=false", "tracking.patience=120")
        with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
            names = [f"process{index}-" for index in range(given.processes)]
            waiting = [pool.submit(train_many, folder, name, given.runs_each, tracked) for name in names]
            held = [each.result() for each in waiting]
        for name, each in zip(names, held, strict=True):
            rows.append((f"{name.strip('-')}, MLflow", given.runs_each, find_growth(each), time.monotonic() - began))
        stored = count_stored(Path(folder))
        expected = {f"{name}{index}": 1 for name in names for index in range(given.runs_each)}
        is_wrong = stored != expected
        print(f"stored in MLflow: {len(stored)} of {len(expected)} runs, {sum(stored.values())} points of val/accuracy")
    print("\nmore after a hundred runs more:")
    print("\n| runs of | number | " + " | ".join(MOST_GROWTH) + " | s |")
    print("|---|---|" + "---|" * (len(MOST_GROWTH) + 1))
    for words, num, growth, seconds in rows:
        print(f"| {words} | {num} | {' | '.join(f'{value:+.1f}' for value in growth.values())} | {seconds:.0f} |")
        is_wrong |= num >= LEAST_RUNS and any(growth[name] > most for name, most in MOST_GROWTH.items())
    return int(is_wrong)


if __name__ == "__main__":
    raise SystemExit(main())
