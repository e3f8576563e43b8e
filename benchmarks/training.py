"""End to end: image files to averaged weights by the full recipe, on all cores, loops in turn, the medians of their ratios.

Each peer has as many worker processes as serve it best here, found by a turn with none, half and all of the cores. Ours runs
plain, in single precision, and with `runtime=auto`, whose measuring and compiling count against a training of ten minutes.
"""

import os
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import pictures
from benchmarks.loops import Task
from benchmarks.racing import Racer, Rounds, in_turn, middle_round

#: Seconds of a training against which measuring and compiling count.
TRAINING_SECONDS = 600.0

RESNET18 = ("model/arch=torchvision", "model.arch.name=resnet18")
RESNET_XS = ("model.arch.name=resnet_xs",)
AUTO = ("runtime=auto",)
STREAMED = ("data.store_gigabytes=0",)

#: The bare step with the convolutions that ours trains with (sota_exp/models/single_pixel_conv.py), not with those of the network's authors.
PRODUCTS = "bare, products"

Goals = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One task, the ways in which ours runs it with their goals by peer; steps timed a turn, and an odd number of rounds."""

    model: str
    arch: tuple[str, ...]
    size: int
    batch_size: int
    num_images: int
    shape: tuple[int, int]
    num_steps: int
    num_rounds: int
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
        num_rounds=15,
        epochs=100,
        ways={
            "plain": ((), {"torchvision": 1.3, "timm": 1.3, "bare": 0.95, PRODUCTS: None}),
            "runtime=auto": (AUTO, {"torchvision": 1.9, "timm": 1.8, "bare": 0.95, PRODUCTS: None}),
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
        num_rounds=11,
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
        num_rounds=9,
        epochs=120,
        ways={
            "plain": ((), {"torchvision": None, "timm": None, "bare": None}),
            "runtime=auto": (AUTO, {"torchvision": 1.5, "timm": 1.5, "bare": None}),
            "runtime=auto, streaming": ((*AUTO, *STREAMED), {"torchvision": 1.3, "timm": 1.3, "bare": None}),
        },
    ),
    Case(
        model="resnet18",
        arch=RESNET18,
        size=224,
        batch_size=16,
        num_images=640,
        shape=(375, 500),
        num_steps=3,
        num_rounds=5,
        epochs=30,
        ways={
            "plain": ((), {"torchvision": None, "timm": None, "bare": None}),
            "runtime=auto": (AUTO, {"torchvision": None, "timm": None, "bare": None}),
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
        for way, (overrides, goals) in case.ways.items():
            racers[way] = stack.enter_context(closing(Racer("ours", task, overrides=overrides)))
            runtime = racers[way].told["runtime"]
            for peer in goals:
                if (racer := racer_of(peer, runtime)) not in racers:
                    settings = {"precision": runtime["precision"], "compiled": runtime["compile"]}
                    bare = Racer("bare", task, products=peer == PRODUCTS, **settings)
                    racers[racer] = stack.enter_context(closing(bare))
        rounds = in_turn(racers, case.num_rounds, case.num_steps)
        memory = {name: racer.memory() for name, racer in racers.items()}
        return [row for way in case.ways for row in compared(case, way, racers, rounds, memory, workers)]


def racer_of(peer: str, runtime: dict[str, Any]) -> str:
    """A peer's name, of a bare step with what `runtime` says of how it is computed."""
    if not peer.startswith("bare"):
        return peer
    return f"{peer}, {runtime['precision']}{', compiled' if runtime['compile'] else ''}"


def compared(
    case: Case,
    way: str,
    racers: dict[str, Racer],
    rounds: Rounds,
    memory: dict[str, float],
    workers: dict[str, int],
) -> list[dict[str, object]]:
    """A row for each peer of one way of ours."""
    told = racers[way].told
    runtime = told["runtime"]
    compiling = max(0.0, told["first_step"] - median(rounds[way])) if runtime["compile"] else 0.0
    setup = told["measuring"] + compiling if told["why"] else 0.0
    rows: list[dict[str, object]] = []
    for peer, goal in case.ways[way][1].items():
        racer = racer_of(peer, runtime)
        # The bare step is compiled as ours is, so neither's compiling counts.
        share = 1.0 if peer.startswith("bare") else 1 - setup / TRAINING_SECONDS
        own, other = middle_round(rounds, way, racer)
        ours, theirs = share * case.batch_size / own, case.batch_size / other
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
