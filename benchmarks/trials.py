"""What a trial costs beside its training: a further run of one process against a process for each; and memory over fifty."""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from sota_exp import cli

NUM_TRIALS = 50

TRIAL = (
    "data=fake",
    "data.image_size=16",
    "data.num_images=60",
    "data.num_classes=4",
    "data.min_side=20",
    "data.max_side=28",
    "model.arch.name=resnet_xs",
    "model.arch.width_multiplier=0.25",
    "batch_size=16",
    "schedule.length.epochs=2",
    "runtime.threads=1",
    "tracking=none",
    "tracking.figures=false",
)


def worked(directory: Path) -> float:
    """Seconds of a run that went into training, validation and scoring."""
    seconds = json.loads((directory / "result.json").read_text())["seconds"]
    return sum(value for name, value in seconds.items() if name != "data")


def beside(place: Path, seed: int, in_process: bool) -> float:
    """Seconds of one run beside its work."""
    directory = place / f"{seed}-{in_process}"
    arguments = ["train", *TRIAL, f"seed={seed}", f"hydra.run.dir={directory}", f"data.cache={place / 'cache'}"]
    began = time.perf_counter()
    if in_process:
        with contextlib.redirect_stdout(io.StringIO()):
            cli.run(arguments)
    else:
        subprocess.run([sys.executable, "-m", "sota_exp", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began - worked(directory)


def measure() -> list[dict[str, object]]:
    """Rows of seconds a trial and of resident memory."""
    resident = psutil.Process().memory_info
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        beside(place, 1000, True)
        pairs = [(beside(place, seed, True), beside(place, seed, False)) for seed in range(3)]
        own, process = (median(times) for times in zip(*pairs, strict=True))
        memory = []
        for seed in range(3, NUM_TRIALS):
            beside(place, seed, True)
            memory.append(resident().rss)
    # What is allocated in the first trials stays; a leak would show from the tenth on.
    grown = memory[-1] / memory[6]
    row = {"precision": "fp32", "model": "resnet_xs", "image_size": 16}
    return [
        {
            "name": "a further trial beside its training, against a process for each",
            "ours": round(own, 2),
            "peer": round(process, 2),
            "ratio": round(process / own, 1),
            "goal": round(process / 0.3, 1),
            "unit": "seconds",
            **row,
        },
        {
            "name": f"memory after {NUM_TRIALS} trials in one process, against after ten",
            "ours": round(memory[-1] / 2**20),
            "peer": round(memory[6] / 2**20),
            "ratio": round(grown, 3),
            "goal": 1.05,
            "unit": "MiB resident (at most the goal)",
            **row,
        },
    ]
