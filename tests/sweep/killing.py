"""Kills the command of a sweep at random times, repeats it, and reads which trials are left."""

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from tests.forked import Program

#: The program whose sweep is killed.
TOY = Path(__file__).with_name("toy.py")


@dataclass(frozen=True)
class Found:
    """Numbers of the trials of the study, by state."""

    complete: list[int]
    pruned: list[int]
    running: list[int]
    failed: list[int]


def start(arguments: Sequence[str], place: Path, path: Path | None = TOY) -> Program:
    return Program(*arguments, path=path, cwd=place, output=place / "log.txt")


def assert_all_end_well(processes: Sequence[Program], place: Path, seconds: float = 300) -> None:
    """Each process ends with status 0; one that hangs is aborted, and its log shows where it hung."""
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
    assert [each.returncode for each in processes] == [0] * len(processes), (place / "log.txt").read_text()[-6000:]


def num_jobs(sweep: Path) -> int:
    return sum(1 for _ in sweep.glob("[0-9]*"))


def kill_at_random(process: Program, sweep: Path, rng: random.Random, reach: float) -> bool:
    """SIGKILL the command and its children, mostly just after a trial began; False if it ended before."""
    before, deadline = num_jobs(sweep), time.monotonic() + 60
    if rng.random() < 0.7:
        while num_jobs(sweep) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, reach))
    else:
        time.sleep(rng.uniform(0, 4 * reach))
    if process.poll() is not None:
        return False
    process.kill_group()
    return True


def drive(
    arguments: Sequence[str],
    place: Path,
    num_kills: int,
    seed: int = 0,
    reach: float = 1.0,
    path: Path | None = TOY,
) -> int:
    """Kill and repeat `num_kills` times, then let the command end; returns the number of kills."""
    rng, hits = random.Random(seed), 0
    while hits < num_kills:
        process = start(arguments, place, path)
        if kill_at_random(process, place / "sweep", rng, reach):
            hits += 1
        else:
            break
    assert_all_end_well([start(arguments, place, path)], place, seconds=600)
    return hits


def found(url: str, name: str) -> Found:
    storage = optuna.storages.RDBStorage(url)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    storage.remove_session()
    storage.engine.dispose()
    assert [trial.number for trial in trials] == list(range(len(trials)))

    def of(state: TrialState) -> list[int]:
        return [trial.number for trial in trials if trial.state == state]

    return Found(
        complete=of(TrialState.COMPLETE),
        pruned=of(TrialState.PRUNED),
        running=of(TrialState.RUNNING),
        failed=of(TrialState.FAIL),
    )
