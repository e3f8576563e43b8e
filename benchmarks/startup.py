"""What commands take before they do anything: processor time, against importing PyTorch and torchvision in turns."""

import json
import resource
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.trials import TRIAL, UNTRACKED

ROUNDS = 5

#: Trains until the first step, which it leaves out.
FIRST_STEP = f"""
import os, sys
from sota_exp.training import loop
from sota_exp.cli.main import run_command_line
loop.train_step = lambda *given: os._exit(0)
run_command_line({["train", *TRIAL, *UNTRACKED]!r})
"""

#: What is measured → the words after `python`, and the share of the imports that is allowed.
CASES: dict[str, tuple[list[str], float]] = {
    "to the first training step": (["-c", FIRST_STEP], 1.3),
    "sota-exp --help": (["-m", "sota_exp", "--help"], 0.2),
    "sota-exp train --help": (["-m", "sota_exp", "train", "--help"], 0.2),
    "sota-exp techniques": (["-m", "sota_exp", "techniques"], 0.2),
    "a key that does not exist": (["-m", "sota_exp", "train", "lr=0.1"], 0.2),
    "a value that is not legal": (["-m", "sota_exp", "train", "optimizer.lr=high"], 0.2),
}


def seconds(words: list[str], place: str) -> float:
    """Processor seconds of `python WORDS` in a folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure() -> list[dict[str, object]]:
    """A row for each case: the median of the rounds' ratios."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, (words, _) in CASES.items():
            with tempfile.TemporaryDirectory() as place:
                peer = seconds(["-c", "import torch, torchvision"], place)
                found[name].append((seconds(words, place), peer))
    return [
        {
            "name": f"{name}, against importing PyTorch and torchvision",
            "ours": round(median(ours for ours, _ in found[name]), 2),
            "peer": round(median(peer for _, peer in found[name]), 2),
            "ratio": round(median(ours / peer for ours, peer in found[name]), 2),
            "goal": goal,
            "unit": "processor seconds (at most the goal)",
            "precision": None,
            "model": None,
            "image_size": None,
        }
        for name, (_, goal) in CASES.items()
    ]


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
