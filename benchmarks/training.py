"""End to end: image files to averaged weights by the full recipe, steps taken in turn, A B C A B C, medians."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import pictures
from benchmarks.loops import Task, bare, ours, timm_loop, torchvision_loop

#: Steps timed of each loop; the one before warms up.
NUM_STEPS, NUM_WARMING = 5, 1

RESNET18 = ("model/arch=torchvision", "model.arch.name=resnet18")
RESNET_XS = ("model.arch.name=resnet_xs",)

#: Name, network, side of a crop, images a step, images in the set, height and width of the files; goals by peer.
CASES = (
    ("32 px", "resnet18", RESNET18, 32, 64, 640, (32, 32), {"torchvision": 1.3, "timm": 1.3, "bare": 0.95}),
    ("32 px", "resnet_xs", RESNET_XS, 32, 128, 640, (32, 32), {"torchvision": 2.5, "timm": 2.5, "bare": None}),
    ("128 px", "resnet18", RESNET18, 128, 16, 160, (240, 320), {"torchvision": 1.5, "timm": 1.5, "bare": None}),
)
STREAMING_GOALS = {"torchvision": 1.3, "timm": 1.3, "bare": None}


def seconds(loop: Iterator[None]) -> float:
    """Of a core that a step takes, decoding threads included: waiting for other programs does not count."""
    began = time.process_time()
    next(loop)
    return time.process_time() - began


def medians(loops: dict[str, Iterator[None]]) -> dict[str, float]:
    """Median seconds of a step of each loop, the loops in turn."""
    for _ in range(NUM_WARMING):
        for loop in loops.values():
            next(loop)
    times = [{name: seconds(loop) for name, loop in loops.items()} for _ in range(NUM_STEPS)]
    return {name: median(row[name] for row in times) for name in loops}


def measure() -> list[dict[str, object]]:
    """One row for every case, way of ours and peer: images a second, and ours over the peer's."""
    rows: list[dict[str, object]] = []
    for label, name, arch, size, batch_size, num_images, shape, goals in CASES:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "set"
            pictures.write(folder, num_images, *shape)
            task = Task(folder=folder, cache=Path(place) / "cache", size=size, batch_size=batch_size, arch=arch)
            loops = {"ours": ours(task), "torchvision": torchvision_loop(task), "timm": timm_loop(task)}
            loops["bare"] = bare(task)
            if size >= 128:
                loops["streaming"] = ours(task, "data.store_gigabytes=0")
            taken = medians(loops)
        rates = {loop: batch_size / step for loop, step in taken.items()}
        for way, its_goals in (("ours", goals), ("streaming", STREAMING_GOALS)):
            rows += [
                {
                    "name": f"full recipe, {label}, {'in memory' if way == 'ours' else 'streaming'}, against {peer}",
                    "ours": round(rates[way], 1),
                    "peer": round(rates[peer], 1),
                    "ratio": round(rates[way] / rates[peer], 2),
                    "goal": goal,
                    "unit": "images per second of a core",
                    "precision": "fp32",
                    "model": name,
                    "image_size": size,
                }
                for peer, goal in its_goals.items()
                if way in rates
            ]
    return rows
