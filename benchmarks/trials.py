"""What a trial costs beside its training: a further run of one process against a process for each; composition; memory over fifty."""

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

from benchmarks.limits import limit
from sota_exp.cli import main
from sota_exp.config.overrides import compose_configuration

#: Trials after which memory is told, and those after which it should not grow.
NUM_TRIALS, EARLY = 50, 10

#: Runs of two multiruns, whose difference is the cost of a further run, and pairs of them.
FEW, MANY, NUM_PAIRS = 2, 10, 3

#: Seconds allowed: a trial beside its training, evaluation and pictures, and composing the configuration.
BESIDE, COMPOSING = 0.3, 0.15

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
)

UNTRACKED = ("tracking=none", "tracking.figures=false")


def worked(directory: Path) -> float:
    """Seconds of a run that went into training, validation and scoring."""
    seconds = json.loads((directory / "result.json").read_text())["seconds"]
    return sum(value for name, value in seconds.items() if name != "data")


def beside(place: Path, seed: int, in_process: bool) -> float:
    """Seconds of one run beside its work."""
    directory = place / f"{seed}-{in_process}"
    arguments = [
        "train",
        *TRIAL,
        *UNTRACKED,
        f"seed={seed}",
        f"hydra.run.dir={directory}",
        f"data.cache={place / 'cache'}",
    ]
    began = time.perf_counter()
    if in_process:
        with contextlib.redirect_stdout(io.StringIO()):
            main.run_command_line(arguments)
    else:
        subprocess.run([sys.executable, "-m", "sota_exp", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began - worked(directory)


def multirun(directory: Path, num_runs: int, tracking: list[str]) -> float:
    """Seconds of a command with `num_runs` runs beside their work."""
    seeds = ",".join(map(str, range(num_runs)))
    arguments = [*TRIAL, *tracking, "tracking.figures=false", f"data.cache={directory.parent / 'cache'}"]
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        main.run_command_line(["train", "-m", *arguments, f"seed={seeds}", f"hydra.sweep.dir={directory}"])
    seconds = time.perf_counter() - began
    return seconds - sum(worked(result.parent) for result in directory.rglob("result.json"))


def a_further_run(place: Path, tracking: list[str]) -> float:
    """Seconds that one more run of a multirun costs beside its work, what the command costs once left out."""
    few, many = (multirun(place / str(num), num, tracking) for num in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def what_tracking_adds(place: Path) -> float:
    """Seconds that a further run of a multirun costs more where MLflow shows it. (Hydra composes each of its jobs twice.)"""
    with_it, without = [f"tracking.uri=sqlite:///{place}/mlflow.db"], ["tracking=none"]
    multirun(place / "first", 1, with_it)
    costs = [
        a_further_run(place / f"shown-{pair}", with_it) - a_further_run(place / f"not-{pair}", without)
        for pair in range(NUM_PAIRS)
    ]
    return median(costs)


def sweep(directory: Path, num_trials: int) -> float:
    """Seconds of a sweep of `num_trials` trials beside their work."""
    arguments = [*TRIAL, *UNTRACKED, f"data.cache={directory.parent / 'cache'}", "hydra.sweeper.confirm.top=0"]
    places = [f"hydra.sweeper.n_trials={num_trials}", f"hydra.sweep.dir={directory}"]
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        main.run_command_line(["sweep", "search=learning_rate", *arguments, *places])
    seconds = time.perf_counter() - began
    return seconds - sum(worked(result.parent) for result in directory.rglob("result.json"))


def a_further_trial(place: Path) -> float:
    """Seconds that one more trial of a sweep costs beside its work, Optuna's storage and sampler included."""
    sweep(place / "first", 1)
    pairs = [[sweep(place / f"{pair}-{num}", num) for num in (FEW, MANY)] for pair in range(NUM_PAIRS)]
    return median((many - few) / (MANY - FEW) for few, many in pairs)


def composing() -> float:
    """Seconds that the whole configuration takes to compose, in a process that has composed before."""
    seconds = []
    for seed in range(10):
        began = time.perf_counter()
        compose_configuration(["recipe=torchvision", f"seed={seed}"])
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def measure() -> list[dict[str, object]]:
    """Rows of seconds a trial and of resident memory."""
    resident = psutil.Process().memory_info
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        memory = []
        for seed in range(NUM_TRIALS):
            beside(place, seed, True)
            memory.append(resident().rss)
        pairs = [(beside(place, seed, True), beside(place, seed, False)) for seed in range(100, 103)]
        own, process = (median(times) for times in zip(*pairs, strict=True))
        tracking, composition = what_tracking_adds(place), composing()
        trial = a_further_trial(place / "sweeps")
    # What is allocated in the first trials stays; a leak would show from the tenth on.
    grown = memory[-1] / memory[EARLY - 1]
    row = {"precision": "fp32", "model": "resnet_xs", "image_size": 16}
    return [
        {
            "name": "a further trial beside its training, against a process for each",
            "ours": round(own, 2),
            "peer": round(process, 2),
            "ratio": round(process / own, 1),
            "goal": None,
            "unit": "seconds",
            **row,
        },
        limit(
            "a further trial beside composition, training and evaluation",
            own - composition,
            BESIDE,
            "seconds",
            **row,
        ),
        limit("the same of a trial in a sweep", trial - composition, BESIDE, "seconds", **row),
        limit("the same in MLflow", own - composition + tracking, BESIDE, "seconds", **row),
        limit("composing all slots", composition, COMPOSING, "seconds", **row),
        {
            "name": f"memory after {NUM_TRIALS} trials in one process, against after {EARLY}",
            "ours": round(memory[-1] / 2**20),
            "peer": round(memory[EARLY - 1] / 2**20),
            "ratio": round(grown, 3),
            "goal": 1.05,
            "unit": "MiB resident (at most the goal)",
            **row,
        },
    ]
