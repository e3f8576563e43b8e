"""Finished runs for reports, written in a moment: configuration, result, predictions, weights; nothing was trained."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.run_directories import CONFIG, result, write_run

CHOICES = {
    "augmentation": "classic",
    "augmentation/crop": "pad",
    "data": "fake",
    "optimizer": "sgd",
    "recipe": "baseline",
    "scale": "smoke",
    "tracking": "mlflow",
}
LABELS = np.arange(40) % 2


def right(num: int) -> list[bool]:
    """Of the forty test images, the first `num` are classified rightly."""
    return [index < num for index in range(len(LABELS))]


def make(
    directory: Path,
    seed: int = 0,
    values: dict[str, Any] | None = None,
    choices: dict[str, str] | None = None,
    correct: list[bool] | None = None,
    digest: str = "d" * 64,
    status: str | None = "finished",
    num_epochs: int = 3,
    **facts: Any,
) -> Path:
    """A run of `values` (dotted keys) and `choices` beside the usual ones; `facts` replace those of the result."""
    chosen = CHOICES | (choices or {})
    data = {"name": "fake", "digest": digest, "classes": ["a", "b"], "counts": {"train": 80, "val": 40, "test": 40}}
    write_run(directory, num_epochs, status, choices=chosen, data=data)
    (directory / "config.yaml").write_text(yaml.safe_dump(configuration(seed, values or {})))
    if status is not None:
        write_result(directory, seed, chosen, correct or right(28), result(status) | facts)
    if "weights" in facts:
        (directory / "start.json").unlink()  # an evaluation has none
    return directory


def configuration(seed: int, values: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG) | {"seed": seed}
    for key, value in values.items():
        *path, last = key.split(".")
        node = config
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return config


def write_result(
    directory: Path, seed: int, choices: dict[str, str], correct: list[bool], found: dict[str, Any]
) -> None:
    metrics = found["metrics"] and {
        **found["metrics"],
        "test/accuracy": sum(correct) / len(correct),
        "val/accuracy": 0.75,
    }
    found = {
        "commit": "c" * 40,
        "versions": {"torch": "2.14.0"},
        "distinct_images": 80,
        "per_class_accuracy": {"a": 0.5, "b": 0.5},
        **found,
        "seed": seed,
        "choices": choices,
        "metrics": metrics,
        "evaluated_images": {"val": len(correct), "test": len(correct)},
    }
    (directory / "result.json").write_text(json.dumps(found))
    (directory / "model.safetensors").write_bytes(b"weights")
    splits = {"val": right(30), "test": correct}
    arrays = {f"{split}_labels": LABELS for split in splits}
    arrays |= {f"{split}_correct": np.packbits(np.array(each)) for split, each in splits.items()}
    arrays |= {f"{split}_logits": np.zeros((len(LABELS), 2), np.float16) for split in splits}
    np.savez(directory / "predictions.npz", **arrays)
