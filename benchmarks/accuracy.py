"""Accuracy of the batched augmentation against torchvision's transforms an image at a time: a paired experiment, resumable.

    python -m benchmarks.accuracy PLACE [SEEDS] [OVERRIDE …]

Trains the embedded animals with each of SEEDS seeds (12) twice: with our flip, TrivialAugment and random erasing, and with
torchvision's in their places, all else equal, order of images and crops included. PLACE/accuracy.jsonl takes one line a training;
what is there is not trained again. The end says the mean difference in test accuracy and its 95 % Student interval over seeds.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torchvision.transforms import v2

from sota_exp.config.experiment import Experiment
from sota_exp.config.overrides import compose_configuration
from sota_exp.data.open import open_data
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.training.distributed import World
from sota_exp.training.loop import fit, start_training
from sota_exp.training.memory import reuse_freed_memory
from sota_exp.training.metrics import compute_scores
from sota_exp.training.norm_batches import iterate_norm_batches
from sota_exp.training.session import open_session

TRAINING = (
    "data=animals_on_photos",
    "augmentation/policy=trivialaugment",
    "augmentation/erase=random_erasing",
    "tracking=none",
)


class ScaledTrivialAugment(v2.TrivialAugmentWide):
    """torchvision's, translations up to a seventh of the side: its own 32 px are for images of 224."""

    _AUGMENTATION_SPACE = v2.TrivialAugmentWide._AUGMENTATION_SPACE | {
        "TranslateX": (lambda num_bins, height, width: torch.linspace(0.0, width / 7, num_bins), True),
        "TranslateY": (lambda num_bins, height, width: torch.linspace(0.0, height / 7, num_bins), True),
    }


ARMS = ("batched", "per_sample")
GOAL = 0.02


@dataclass(frozen=True, kw_only=True)
class PerSample(BatchTransform):
    """A transform of torchvision's, an image at a time; its global random numbers are seeded from the slot's draws."""

    transform: v2.Transform

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31, 1)))
            images = torch.stack([self.transform(image) for image in batch.images])
        return batch.with_images(images.contiguous(memory_format=torch.channels_last))


def experiment_of(arm: str, seed: int, overrides: list[str]) -> Experiment:
    experiment = compose_configuration([*TRAINING, f"seed={seed}", *overrides]).experiment
    if arm == "batched":
        return experiment
    augmentation = replace(
        experiment.augmentation,
        flip=PerSample(transform=v2.RandomHorizontalFlip()),
        policy=PerSample(transform=ScaledTrivialAugment(interpolation=v2.InterpolationMode.BILINEAR)),
        erase=PerSample(transform=v2.RandomErasing(p=0.1)),
    )
    return replace(experiment, augmentation=augmentation)


def trained(arm: str, seed: int, overrides: list[str]) -> float:
    """Test accuracy of the weights that ship at the end."""
    experiment = experiment_of(arm, seed, overrides)
    session = open_session(experiment, open_data(experiment), World(), torch.device("cpu"))
    state, evaluator = start_training(session), session.evaluator
    for _ in fit(session, state):
        pass
    view = experiment.evaluation.resolution.views()[0]
    state.average.finish(iterate_norm_batches(session))
    return compute_scores(evaluator.logits(state.average.module, "test", view), evaluator.labels("test"))["accuracy"]


def summary(rows: list[dict[str, Any]]) -> str:
    """The mean difference and its interval, over the seeds that both arms have."""
    accuracy = {(row["arm"], row["seed"]): row["accuracy"] for row in rows}
    seeds = sorted(seed for arm, seed in accuracy if arm == ARMS[0] and (ARMS[1], seed) in accuracy)
    if len(seeds) < 2:
        return f"{len(seeds)} pairs: too few for an interval"
    differences = np.array([accuracy[ARMS[0], seed] - accuracy[ARMS[1], seed] for seed in seeds])
    half = stats.t.ppf(0.975, len(seeds) - 1) * differences.std(ddof=1) / len(seeds) ** 0.5
    low, high = differences.mean() - half, differences.mean() + half
    inside = "inside" if low > -GOAL and high < GOAL else "not inside"
    return f"{len(seeds)} pairs: {differences.mean():+.4f}, 95 % interval [{low:+.4f}, {high:+.4f}], {inside} ± {GOAL}"


def main(arguments: list[str]) -> None:
    place = Path(arguments[0])
    numbers = [int(item) for item in arguments[1:] if item.isdigit()]
    overrides = [item for item in arguments[1:] if "=" in item]
    place.mkdir(parents=True, exist_ok=True)
    file = place / "accuracy.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["arm"], row["seed"]) for row in rows if row["overrides"] == overrides}
    reuse_freed_memory()
    for seed in range(numbers[0] if numbers else 12):
        for arm in ARMS:
            if (arm, seed) not in done:
                row = {"arm": arm, "seed": seed, "accuracy": trained(arm, seed, overrides), "overrides": overrides}
                rows.append(row)
                with file.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print(row, flush=True)
    print(summary([row for row in rows if row["overrides"] == overrides]))


if __name__ == "__main__":
    main(sys.argv[1:])
