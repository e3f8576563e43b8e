"""End to end: image files to averaged weights by the full recipe, on all cores, loops in turn, medians.

Each peer has as many worker processes as serve it best here, found by a turn with none, half and all of the cores. Ours runs
plain, in single precision, and with `runtime=auto`, whose measuring and compiling count against a training of ten minutes.
"""

import os
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import pictures
from benchmarks.loops import Task
from benchmarks.racing import Racer, in_turn

#: The memory of a shared machine is fast and slow for seconds at a time.
NUM_ROUNDS = 11

#: Seconds of a training against which measuring and compiling count.
TRAINING_SECONDS = 600.0

RESNET18 = ("model/arch=torchvision", "model.arch.name=resnet18")
RESNET_XS = ("model.arch.name=resnet_xs",)
AUTO = ("runtime=auto",)
STREAMED = ("data.store_gigabytes=0",)

Goals = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One task, the ways in which ours runs it with their goals by peer, and steps timed a turn."""

    model: str
    arch: tuple[str, ...]
    size: int
    batch_size: int
    num_images: int
    shape: tuple[int, int]
    num_steps: int
    epochs: int
    ways: dict[str, tuple[tuple[str, ...], Goals]]


CASES = (
    Case(
        model="resnet18",
        arch=RESNET18,
        size=32,
        batch_size=128,
        num_images=5120,
        shape=(32, 32),
        num_steps=8,
        epochs=100,
        ways={
            "plain": ((), {"torchvision": 1.3, "timm": 1.3, "bare": 0.95}),
            "runtime=auto": (AUTO, {"torchvision": 1.9, "timm": 1.8, "bare": 0.95}),
        },
    ),
    Case(
        model="resnet_xs",
        arch=RESNET_XS,
        size=32,
        batch_size=128,
        num_images=5120,
        shape=(32, 32),
        num_steps=30,
        epochs=600,
        ways={
            "plain": ((), {"torchvision": 2.5, "timm": None, "bare": None}),
            "runtime=auto": (AUTO, {"torchvision": 2.5, "timm": None, "bare": None}),
        },
    ),
    Case(
        model="resnet18",
        arch=RESNET18,
        size=128,
        batch_size=32,
        num_images=640,
        shape=(240, 320),
        num_steps=6,
        epochs=120,
        ways={
            "plain": ((), {"torchvision": None, "timm": None, "bare": None}),
            "runtime=auto": (AUTO, {"torchvision": 1.5, "timm": 1.5, "bare": None}),
            "runtime=auto, streaming": ((*AUTO, *STREAMED), {"torchvision": 1.3, "timm": 1.3, "bare": None}),
        },
    ),
)


def best_workers(loop: str, task: Task, num_steps: int) -> int:
    """Worker processes with which a peer is fastest here."""
    cores = os.cpu_count() or 1
    seconds = {}
    for workers in sorted({0, cores // 2, cores}):
        with closing(Racer(loop, task, workers=workers)) as racer:
            seconds[workers] = min(racer.turn(num_steps) for _ in range(2))
    return min(seconds, key=lambda workers: seconds[workers])


def measure() -> list[dict[str, object]]:
    """One row for every case, way of ours and peer: images a second, and ours over the peer's."""
    return [row for case in CASES for row in rows_of(case)]


def rows_of(case: Case) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place) / "set"
        pictures.write(folder, case.num_images, *case.shape)
        task = Task(
            folder=folder,
            cache=Path(place) / "cache",
            size=case.size,
            batch_size=case.batch_size,
            arch=case.arch,
            epochs=case.epochs,
        )
        workers = {peer: best_workers(peer, task, case.num_steps) for peer in ("torchvision", "timm")}
        racers = {peer: stack.enter_context(closing(Racer(peer, task, workers=num))) for peer, num in workers.items()}
        for way, (overrides, _) in case.ways.items():
            racers[way] = stack.enter_context(closing(Racer("ours", task, overrides=overrides)))
            runtime = racers[way].told["runtime"]
            if (bare := bare_of(runtime)) not in racers:
                settings = {"precision": runtime["precision"], "compiled": runtime["compile"]}
                racers[bare] = stack.enter_context(closing(Racer("bare", task, **settings)))
        seconds = in_turn(racers, NUM_ROUNDS, case.num_steps)
        memory = {name: racer.memory() for name, racer in racers.items()}
        return [row for way in case.ways for row in compared(case, way, racers, seconds, memory, workers)]


def bare_of(runtime: dict[str, Any]) -> str:
    """The name of the bare step that is computed as `runtime` says."""
    return f"bare, {runtime['precision']}{', compiled' if runtime['compile'] else ''}"


def compared(
    case: Case,
    way: str,
    racers: dict[str, Racer],
    seconds: dict[str, float],
    memory: dict[str, float],
    workers: dict[str, int],
) -> list[dict[str, object]]:
    """A row for each peer of one way of ours."""
    told = racers[way].told
    runtime = told["runtime"]
    compiling = max(0.0, told["first_step"] - seconds[way]) if runtime["compile"] else 0.0
    setup = told["measuring"] + compiling if told["why"] else 0.0
    rows: list[dict[str, object]] = []
    for peer, goal in case.ways[way][1].items():
        racer = bare_of(runtime) if peer == "bare" else peer
        # The bare step is compiled as ours is, so neither's compiling counts.
        share = 1.0 if peer == "bare" else 1 - setup / TRAINING_SECONDS
        ours, theirs = share * case.batch_size / seconds[way], case.batch_size / seconds[racer]
        took = f"{told['measuring']:.0f} s of reading and measuring, {compiling:.0f} s of compiling"
        details = f"{told['why']}; {took}; " if told["why"] else ""
        details += f"memory {memory[way]:.0f} against {memory[racer]:.0f} MiB"
        rows.append(
            {
                "name": f"full recipe, {case.size} px, {way}, against {racer}",
                "ours": round(ours, 1),
                "peer": round(theirs, 1),
                "ratio": round(ours / theirs, 2),
                "goal": goal,
                "unit": "images per second",
                "precision": runtime["precision"],
                "model": case.model,
                "image_size": case.size,
                "note": details + (f"; the peer has {workers[peer]} workers" if peer in workers else ""),
            }
        )
    return rows
