"""Intervals and verdicts of real small studies against the truth: how often they hold what they promise.

python -m benchmarks.real_calibration FOLDER DIRECTORY: FOLDER has one folder of images per class, such as the training
images of CIFAR-10; DIRECTORY takes the runs. The same command goes on where it was interrupted, and prints the table.

Draws 40 sets of 240 images and runs a study of two techniques on each: once with cross-validation of five folds, twice,
and once with one holdout of 48 test images and ten seeds. The truth is the mean difference of trainings on fresh
draws of equal size, each scored on 2,000 images that no study and no other training uses.
"""

import json
import os
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CLASSES = ("airplane", "automobile", "frog", "horse")
PER_CLASS, NUM_STUDIES, NUM_TRUTHS, TEST_PER_CLASS = 60, 40, 200, 500

#: Images of a class by their number: those of the studies, of the trainings of the truth, and of its test.
STUDIES, TRAININGS, TESTS = slice(0, 3000), slice(3000, 4400), slice(4400, 5000)

#: The study, with a tiny network, so that a run takes about a second.
STUDY = (
    "study=add_one_in",
    "study.only=[label_smoothing,ema]",
    "data=csv",
    "data.image_size=32",
    "data.crop_ratio=1.0",
    "scale=quick",
    "scale.epochs=10",
    "batch_size=24",
    "recipe=small_images",
    "model.arch.width_multiplier=0.5",
    "tracking=none",
)
SPLITS = {
    "folds": ("data/split=cross_validation", "study.seeds=10"),
    "holdout": ("data.test_fraction=0.2", "study.seeds=10"),
}


def draw_study(folder: Path, number: int) -> list[tuple[str, str, str]]:
    """Rows (path, class, split) of a set for a study, whose splits the study chooses itself."""
    rng = random.Random(f"study {number}")
    return [
        (str(folder / name / file), name, "train")
        for name in CLASSES
        for file in rng.sample(_list_images(folder, name)[STUDIES], PER_CLASS)
    ]


def draw_truth(folder: Path, number: int) -> list[tuple[str, str, str]]:
    """Rows of as many training and val images as a fold has, and of the test images of the truth."""
    rng = random.Random(f"truth {number}")
    rows = []
    for name in CLASSES:
        images = _list_images(folder, name)
        # Of 60 images a fold tests 12, and val takes 6 of the others.
        chosen = rng.sample(images[TRAININGS], PER_CLASS - 12)
        rows += [(str(folder / name / file), name, "val" if at < 6 else "train") for at, file in enumerate(chosen)]
        rows += [(str(folder / name / file), name, "test") for file in images[TESTS][:TEST_PER_CLASS]]
    return rows


def _list_images(folder: Path, name: str) -> list[str]:
    return sorted(os.listdir(folder / name))


def run_study(folder: Path, rows: Sequence[tuple[str, str, str]], directory: Path, overrides: Sequence[str]) -> None:
    """Run a study of these images of the folder, or go on with it; one that is complete starts nothing."""
    if (directory / "done").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    table = directory / "images.csv"
    table.write_text("path,label,split\n" + "".join(",".join(row) + "\n" for row in rows))
    given = [
        f"data.root={folder}",
        f"data.path={table.resolve()}",
        f"hydra.sweep.dir={directory / 'study'}",
        *overrides,
    ]
    command = [sys.executable, "-m", "sota_exp", "ablate", *STUDY, *given, "--no-measure"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads((directory / "study" / "study.json").read_text())
    assert found["status"] == "complete", found["missing"]
    (directory / "done").touch()


def read_truths(directory: Path) -> dict[str, list[float]]:
    """Arm → its difference from the reference on 2,000 images, of every fresh draw."""
    found: dict[str, list[float]] = {}
    for path in sorted(directory.glob("truth_*/done")):
        reference, *arms = _read_arms(path.parent)
        for arm in arms:
            (before,), (after,) = reference["values"].values(), arm["values"].values()
            found.setdefault(arm["name"], []).append(after - before)
    return found


def _read_arms(place: Path) -> list[dict[str, Any]]:
    arms: list[dict[str, Any]] = json.loads((place / "study" / "study.json").read_text())["arms"]
    return arms


def find_intervals(arm: dict[str, Any]) -> dict[str, list[float] | None]:
    """What the interval is for → its ends."""
    beyond, images = arm["new_images"] or {}, arm["examples"] or {}
    return {"runs": arm["interval"], "images": images.get("interval"), "both": beyond.get("interval")}


def print_tables(directory: Path) -> None:
    truths = read_truths(directory)
    print("| arm | true difference, points | its standard error | sd of one draw | draws |\n|---|---|---|---|---|")
    for name, values in truths.items():
        sd = statistics.stdev(values)
        row = (100 * statistics.mean(values), 100 * sd / len(values) ** 0.5, 100 * sd)
        print(f"| {name} | {' | '.join(f'{each:+.2f}' for each in row)} | {len(values)} |")
    print("\n| split | interval | contains the truth | half width, points |\n|---|---|---|---|")
    words: Counter[tuple[str, str, str]] = Counter()
    for split in SPLITS:
        covered: dict[str, list[tuple[bool, float]]] = {}
        for path in sorted(directory.glob(f"{split}_*/done")):
            for arm in _read_arms(path.parent)[1:]:
                truth = statistics.mean(truths[arm["name"]])
                words[split, arm["name"], arm["verdict"]] += 1
                for name, ends in find_intervals(arm).items():
                    if ends is not None:
                        covered.setdefault(name, []).append((ends[0] <= truth <= ends[1], (ends[1] - ends[0]) / 2))
        for name, rows in covered.items():
            num, width = sum(is_in for is_in, _ in rows), statistics.mean(half for _, half in rows)
            print(f"| {split} | {name} | {num} of {len(rows)} | {100 * width:.2f} |")
    print("\n| split | arm | verdict | studies |\n|---|---|---|---|")
    for key, num in sorted(words.items()):
        print(f"| {' | '.join(key)} | {num} |")


def main(folder: Path, directory: Path) -> None:
    for number in range(max(NUM_STUDIES, NUM_TRUTHS)):
        if number < NUM_STUDIES:
            for split, overrides in SPLITS.items():
                run_study(folder, draw_study(folder, number), directory / f"{split}_{number:03}", overrides)
        if number < NUM_TRUTHS:
            run_study(
                folder,
                draw_truth(folder, number),
                directory / f"truth_{number:03}",
                [f"seed={number}", "study.seeds=1"],
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
