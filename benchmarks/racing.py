"""Training loops that race: each in a process of its own, as its users start it, and in turn, A B C C B A.

    python -m benchmarks.racing '{"loop": "ours", "task": {…}}'      # a racer: reads numbers of steps, answers with seconds

A racer has all cores while the others sleep. Before it is timed it takes as many steps as its loader may have prepared in
the others' turns, so that no batch comes for nothing.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.loops import LOOPS, Task
from sota_exp.training.device import synchronize_device
from sota_exp.training.memory import get_peak_memory

#: Seconds between two turns, in which the worker processes of the one before finish what they prepare.
SETTLING = 1.0

#: Steps before a turn is timed: the others have filled the caches with theirs.
WARM_UP = 3


class Racer:
    """A loop at work in another process, its first step taken.

    told: what the loop says of itself. peak_memory: of its device in bytes, after the last steps.
    """

    def __init__(self, loop: str, task: Task, **settings: Any) -> None:
        request = {"loop": loop, "task": {**asdict(task), "folder": str(task.folder), "cache": str(task.cache)}}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.racing", json.dumps({**request, "settings": settings})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.told: dict[str, Any] = self._read()["told"]
        self.num_prepared = 2 * self.told.get("runtime", settings).get("workers", 0)

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def _steps(self, num: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{num}\n")
        self.process.stdin.flush()
        answer = self._read()
        self.peak_memory = int(answer["peak_memory"])
        return float(answer["seconds"])

    def turn(self, num_steps: int) -> float:
        """Seconds a step."""
        time.sleep(SETTLING)
        self._steps(self.num_prepared + WARM_UP)
        return self._steps(num_steps) / num_steps

    def memory(self) -> float:
        """MiB of this process and its workers, what they share counted once."""
        root = psutil.Process(self.process.pid)
        return sum(each.memory_full_info().pss for each in (root, *root.children(recursive=True))) / 2**20

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


Rounds = dict[str, list[float]]


def in_turn(racers: Mapping[str, Racer], num_rounds: int, num_steps: int) -> Rounds:
    """Seconds of a step of each in each round. Every other one goes backwards: nobody is always before the same other."""
    seconds: Rounds = {name: [] for name in racers}
    for number in range(num_rounds):
        for name in list(racers)[:: -1 if number % 2 else 1]:
            seconds[name].append(racers[name].turn(num_steps))
    return seconds


def middle_round(rounds: Rounds, ours: str, peer: str) -> tuple[float, float]:
    """Seconds of a step of ours and of the peer, in the round in which their ratio is its median over an odd number of rounds.

    A shared machine is fast and slow for a minute at a time. That weighs on both in a round; their medians may fall into
    different minutes.
    """
    pairs = sorted(zip(rounds[ours], rounds[peer], strict=True), key=lambda pair: pair[1] / pair[0])
    return pairs[len(pairs) // 2]


def main(request: dict[str, Any]) -> None:
    """Take the steps that standard input asks for; standard output belongs to the answers."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    task = Task(**{**request["task"], **{name: Path(request["task"][name]) for name in ("folder", "cache")}})
    told, device = dict[str, Any](), torch.device(task.device)
    loop = LOOPS[request["loop"]](task, told, **request["settings"])
    next(loop)
    print(json.dumps({"told": told}), file=answers)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            next(loop)
        synchronize_device(device)
        seconds, peak = time.perf_counter() - began, get_peak_memory(device)
        print(json.dumps({"seconds": seconds, "peak_memory": peak}), file=answers)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
