"""Run directories for tests, written in a moment: the files that a run leaves, without the run."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import yaml

from sota_exp.config.formats import FILE_FORMAT

CONFIG: dict[str, Any] = {
    "seed": 3,
    "batch_size": 64,
    "data": {"_option_": "fake", "name": "fake", "image_size": 32},
    "augmentation": {"crop": {"_option_": "pad", "scale": [0.08, 1.0]}},
    "schedule": {"length": {"_option_": "standard", "epochs": 3}},
    "optimizer": {"_option_": "sgd", "lr": 0.01, "weight_decay": 0.0},
    "tracking": {"_option_": "mlflow", "uri": None, "experiment": "sota_exp"},
    "recipe": {"name": "baseline"},
    "scale": {"name": "smoke"},
}


def epoch(number: int) -> dict[str, Any]:
    return {
        "epoch": number + 1,
        "step": 4 * (number + 1),
        "progress": (number + 1) / 3,
        "seconds": 1.5 + number,
        "validate_seconds": 0.25,
        "images_per_second": 1000.0 / (number + 1),
        "train/loss": 2.0 / (number + 1),
        "train/lr": 0.01,
        "val/accuracy": (0.3, 0.7, 0.6)[number],
        "val/loss": 1.0,
    }


def result(status: str = "finished") -> dict[str, Any]:
    scores = {
        f"{split}/{name}": value
        for split in ("val", "test")
        for name, value in (("accuracy", 0.7), ("loss", 1.0 / 3), ("ece", 0.1))
    }
    return {
        "format": FILE_FORMAT,
        "status": status,
        "reason": None if status in ("finished", "stopped_early") else "diverged: the loss is nan",
        "fingerprint": "f" * 16,
        "training_fingerprint": "t" * 16,
        "seed": 3,
        "choices": {"augmentation/crop": "pad"},
        "metrics": {**scores, "best/epoch": 2, "train/loss": 1.0} if status in ("finished", "stopped_early") else {},
        "evaluated_images": {"val": 100, "test": 100},
        "per_class_accuracy": {"a": 0.5, "b": 0.9},
        "steps": 12,
        "images_seen": 768,
        "seconds": {"data": 0.5, "train": 7.5, "validate": 0.75, "evaluate": 0.1},
        "images_per_second": 102.4,
        "peak_memory_bytes": 2**28,
        "parameters": 12345,
        "flops_per_image": 10**7,
        "device": "cpu: test",
    }


def write_run(directory: Path, num_epochs: int = 3, status: str | None = "finished", **start: Any) -> Path:
    """A run in `directory`; `status` None for one that has not ended.

    start: changes of `start.json`; `pid`, `born` and `host` are of the owner, which is this process.
    """
    directory.mkdir(parents=True, exist_ok=True)
    facts = {
        "id": f"id-{directory.name}",
        "time": 1_700_000_000.25,
        "host": socket.gethostname(),
        "user": "me",
        "data": {
            "name": "fake",
            "digest": "d" * 64,
            "classes": ["a", "b"],
            "counts": {"train": 800, "val": 100, "test": 100},
        },
        "fingerprint": "f" * 16,
        "choices": {"augmentation": "classic", "augmentation/crop": "pad", "tracking": "mlflow"},
        "device": "cpu: test",
        "commit": "c" * 40 + "-dirty",
        "parameters": 12345,
        "resumed": 0,
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (directory / "start.json").write_text(json.dumps(facts | start))
    write_epochs(directory, num_epochs)
    if status is None:
        write_owner(directory, **{name: start[name] for name in ("pid", "born", "host") if name in start})
    else:
        time.sleep(0.01)
        (directory / "result.json").write_text(json.dumps(result(status)))
        (directory / "model.json").write_text("{}")
        (directory / "figures").mkdir(exist_ok=True)
        (directory / "figures" / "learning_curves.png").write_bytes(b"png")
    return directory


def write_owner(directory: Path, **changes: Any) -> None:
    """`owner.json` of this process, as it is while a run trains."""
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "user": "me"}
    (directory / "owner.json").write_text(json.dumps(owner | changes))


def write_epochs(directory: Path, num_epochs: int) -> None:
    lines = "".join(json.dumps(epoch(number)) + "\n" for number in range(num_epochs))
    (directory / "metrics.jsonl").write_text(lines)
    (directory / "checkpoint").mkdir(exist_ok=True)
    (directory / "checkpoint" / "epochs").write_text(f"{num_epochs}\n")
