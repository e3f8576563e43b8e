"""What a folder of very many images costs before the first batch, and what its listing takes of each process's memory.

Run as `python -m benchmarks.listing`. 200,000 names of 1,000 small JPEGs (hard links) in 1,000 folders, streamed: the
seconds until the data set is open, with an empty cache and again, in a process of its own; and the private memory (USS)
of the main process and of one that loads batches, beyond those with 1,000 images, by the way that it is started.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from sota_exp.data.open import open_data
from sota_exp.data.train_loader import TrainCrops
from sota_exp.stages.random import RandomStreams
from sota_exp.training.session import build_train_crops
from tests.experiments import TINY, composed

#: At most so many seconds to open the set again, and bytes of private memory an image in each process.
MOST_SECONDS, MOST_BYTES = 5.0, 150

#: Images in a set that costs nothing, and files behind the names of the large one: a file has at most 65,000 names.
FEW, NUM_FILES = 1_000, 1_000

METHODS = ("fork", "forkserver", "spawn")


class Weighed(Dataset[int]):
    """Item `step`: the private bytes of the process that made the crops of this step."""

    def __init__(self, crops: TrainCrops) -> None:
        self.crops = crops

    def __getitem__(self, step: int) -> int:
        self.crops[step]
        return weigh()


def weigh() -> int:
    """The private memory of this process in bytes, without what the C library keeps to use again."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_full_info().uss)


def make_pictures(root: Path, num_images: int, num_folders: int) -> None:
    """JPEGs of 80 × 64 px under `num_images` names."""
    sources = root.with_name(f"{root.name}-files")
    sources.mkdir()
    rng = np.random.default_rng(0)
    for index in range(min(NUM_FILES, num_images)):
        coarse = rng.integers(256, size=(6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((80, 64), Image.Resampling.BICUBIC).save(sources / f"{index}.jpg")
    for folder in range(num_folders):
        place = root / f"n{folder:08d}"
        place.mkdir(parents=True)
        for index in range(num_images // num_folders):
            os.link(sources / f"{(7 * folder + index) % NUM_FILES}.jpg", place / f"n{folder:08d}_{index}.JPEG")


def open_once(root: str, cache: str, digest: str, method: str) -> dict[str, Any]:
    """Seconds and processor seconds to open the set; private bytes here before and after, and of a worker."""
    left = ("data", "batch_size", "schedule.length", "scale")
    words = ("data=image_folder", f"data.root={root}", f"data.cache={cache}", "data.store_gigabytes=0")
    tiny = (word for word in TINY if not word.startswith(left))
    experiment = composed(*tiny, *words, f"data.digest={digest}", "batch_size=64").experiment
    before, began, used = weigh(), time.monotonic(), time.process_time()
    data = open_data(experiment)
    found: dict[str, Any] = {"seconds": time.monotonic() - began, "processor": time.process_time() - used}
    found |= {"digest": data.digest, "main": weigh() - before}
    if method:
        crops = build_train_crops(experiment, data, "bilinear", RandomStreams(seed=0))
        loader = DataLoader(
            Weighed(crops), batch_size=None, sampler=range(20), num_workers=2, multiprocessing_context=method
        )
        found["worker"] = max(loader)
    return found


def measure(root: Path, cache: Path, digest: str = "auto", method: str = "") -> dict[str, Any]:
    """`open_once` in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.listing", "--once", str(root), str(cache), digest, method]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 1 if a number is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--folders", type=int, default=1_000)
    parser.add_argument("--full", action="store_true", help="also with data.digest=full")
    parser.add_argument("--once", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.once:
        print(json.dumps(open_once(*options.once)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_pictures(place / "many", options.images, options.folders)
        make_pictures(place / "few", FEW, 10)
        print(f"| {options.images:,} images in {options.folders:,} folders | seconds | of the processor | limit |")
        print("|---|---|---|---|")
        seconds = 0.0
        for digest in ("auto", "full") if options.full else ("auto",):
            for what in ("opened", "opened again"):
                found = measure(place / "many", place / "cache", digest)
                limit = MOST_SECONDS if (what, digest) == ("opened again", "auto") else None
                seconds = found["seconds"] if limit else seconds
                row = f"{found['seconds']:.1f} | {found['processor']:.1f} | {limit or ''}"
                print(f"| {what}, data.digest={digest} | {row} |", flush=True)
        print("\n| private memory, bytes an image | main process | worker | limit |\n|---|---|---|---|")
        most = 0.0
        for method in METHODS:
            few, many = (measure(place / size, place / "cache", "sampled", method) for size in ("few", "many"))
            own, worker = ((many[each] - few[each]) / (options.images - FEW) for each in ("main", "worker"))
            print(f"| {method} | {own:.0f} | {worker:.0f} | {MOST_BYTES} |", flush=True)
            most = max(most, own, worker)
    return int(seconds > MOST_SECONDS or most > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
