"""What commands take before they do anything, in processor time, and the way to the first step."""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from statistics import median

from benchmarks.limits import limit
from benchmarks.trials import TRIAL, UNTRACKED

ROUNDS = 8

#: Trains until the first step, which it leaves out.
FIRST_STEP = f"""
import os, sys
from sota_exp.training import loop
from sota_exp.cli.main import run_command_line
loop.train_step = lambda *given: os._exit(0)
run_command_line({["train", *TRIAL, *UNTRACKED]!r})
"""

#: What is measured → the words after `sota-exp`.
COMMANDS = {
    "sota-exp --help": ["--help"],
    "sota-exp train --help": ["train", "--help"],
    "sota-exp techniques": ["techniques"],
    "a key that does not exist": ["train", "lr=0.1"],
    "an option that does not exist": ["train", "optimizer=sdg"],
    "a value that is not legal": ["train", "optimizer.lr=high"],
}

#: Processor seconds of such a command, and the share of the imports that may pass before the first step.
MOST_SECONDS, MOST_IMPORTS = 0.5, 1.3


def seconds(words: list[str]) -> float:
    """Processor seconds of `python WORDS` in an empty folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, *words], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure() -> list[dict[str, object]]:
    """The way to the first step against the imports, by the rounds' ratios; and the median of each command."""
    steps: list[tuple[float, float]] = []
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        steps.append((seconds(["-c", FIRST_STEP]), seconds(["-c", "import torch, torchvision"])))
        for name, words in COMMANDS.items():
            found[name].append(seconds(["-m", "sota_exp", *words]))
    return [summarize_steps(steps), *(limit_command(name, median(each)) for name, each in found.items())]


def summarize_steps(steps: Sequence[tuple[float, float]]) -> dict[str, object]:
    """The row of the way to the first step. steps: its seconds and those of the imports, by round."""
    return {
        "name": "to the first training step, against importing PyTorch and torchvision",
        "ours": round(median(ours for ours, _ in steps), 2),
        "peer": round(median(peer for _, peer in steps), 2),
        "ratio": round(median(ours / peer for ours, peer in steps), 2),
        "goal": MOST_IMPORTS,
        "unit": "processor seconds (at most the goal)",
        "precision": None,
        "model": None,
        "image_size": None,
    }


def limit_command(name: str, found: float) -> dict[str, object]:
    """The row of a command, whose limit is in seconds: a share of the imports grows with these."""
    return limit(name, found, MOST_SECONDS, "processor seconds")


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
