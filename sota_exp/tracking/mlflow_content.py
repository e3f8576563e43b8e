"""What MLflow shows of a run, from the run's files alone: names, parameters, points, tags, status.

Equal files give equal content, timestamps included, so that sending twice changes nothing. Imports neither torch nor mlflow.
"""

import math
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sota_exp.runs.contents import Content

#: MLflow cuts longer parameter values without a word; the full configuration is an artifact.
LONGEST_PARAM = 6000


#: Files that are copied as they are, beside the pictures.
ARTIFACTS = (
    "config.yaml",
    "start.json",
    "result.json",
    "metrics.jsonl",
    "model.safetensors",
    "model.json",
    "predictions.npz",
    "run.log",
)


#: Numbers of `hyper` that have a name of their own.
SHOWN_ALWAYS = ("optimizer.lr", "optimizer.weight_decay", "schedule.length.epochs", "data.image_size")

#: Groups that say nothing about the numbers.
UNSHOWN = ("tracking",)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a metric; `time` in milliseconds since 1970."""

    key: str
    value: float
    time: int
    step: int


def sanitized(key: str) -> str:
    """The key with every sign that MLflow refuses replaced by `_`: word signs, `-`, `.`, space, `:` and `/` are legal."""
    key = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", key)).lstrip("/")[:250]
    return re.sub(r"^\.+", "_", key) or "_"


def params(content: Content) -> dict[str, str]:
    """Every slot's choice, and every short value of the resolved configuration by its dotted key."""
    found = {slot: option for slot, option in (content.start.get("choices") or {}).items() if slot not in UNSHOWN}
    for group, tree in content.config.items():
        if group not in UNSHOWN:
            found |= {f"{key}.value" if key in found else key: text for key, text in _leaves(tree, group)}
    return {sanitized(key): text for key, text in found.items() if len(text) <= LONGEST_PARAM}


def _leaves(tree: Any, key: str) -> list[tuple[str, str]]:
    if isinstance(tree, dict):
        return [
            leaf
            for name, value in tree.items()
            if name not in ("_target_", "_option_")
            for leaf in _leaves(value, f"{key}.{name}")
        ]
    return [(key, ", ".join(map(str, tree)) if isinstance(tree, list) else str(tree))]


def points(content: Content, after: int = 0) -> list[Point]:
    """Every point of every metric, in the order of time; without those of the first `after` epochs.

    So a run of many epochs costs no more an epoch than a short one.
    """
    begun = content.started_ms
    found = [Point(key=sanitized(key), value=value, time=begun, step=0) for key, value in hyper(content).items()]
    seconds = 0.0
    for place, epoch in enumerate(content.epochs):
        seconds += epoch["seconds"] + epoch["validate_seconds"]
        found += epoch_points(epoch, begun + round(seconds * 1000)) if place >= after else []
    last = begun + round(seconds * 1000)
    values = final(content.told or {})
    found += [
        Point(key=sanitized(key), value=value, time=last, step=content.last_step) for key, value in values.items()
    ]
    return found


def epoch_points(epoch: dict[str, Any], time: int) -> list[Point]:
    """One epoch's line: its scores as they are, its costs below `time/`. Steps are the file's own epochs, from 0."""
    values = {key: value for key, value in epoch.items() if "/" in key and value is not None}
    values |= {
        "time/epoch_seconds": epoch["seconds"],
        "time/validate_seconds": epoch["validate_seconds"],
        "time/images_per_second": epoch["images_per_second"],
    }
    return [Point(key=sanitized(key), value=value, time=time, step=epoch["epoch"]) for key, value in values.items()]


def hyper(content: Content) -> dict[str, float]:
    """Numbers that charts need as metrics: parameters are text to MLflow, and its axes are linear.

    Learning rate, weight decay, batch size, epochs and image size always; beside them, by its dotted key, whatever number
    was varied.
    """
    config = content.config
    optimizer = config["optimizer"]
    found = {
        "hp/batch_size": config["batch_size"],
        "hp/seed": config["seed"],
        "hp/epochs": config["schedule"]["length"].get("epochs"),
        "hp/image_size": config["data"].get("image_size"),
        "hp/log10_lr": _log10(optimizer.get("lr")),
        "hp/log10_wd": _log10(optimizer.get("weight_decay")),
    }
    for override in content.origin.get("overrides", []):
        key, _, text = str(override).lstrip("+").partition("=")
        if "." in key and key not in SHOWN_ALWAYS:
            found |= {f"hp/{key}": _number(text)}
    return {key: float(value) for key, value in found.items() if value is not None}


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def final(result: dict[str, Any]) -> dict[str, float]:
    """What a result says, once: `best/…` of the weights that ship, `test/…`, and `cost/…`.

    `val/…` is an epoch's curve already, whose last value the table shows; the result's own is `best/val_…`.
    """
    found: dict[str, Any] = {}
    for key, value in result.get("metrics", {}).items():
        found[key if key.startswith(("test/", "best/")) else f"best/{key.replace('/', '_')}"] = value
    if found:
        for key in ("images_per_second", "peak_memory_bytes", "parameters", "flops_per_image", "images_seen", "steps"):
            found[f"cost/{key}"] = result.get(key)
        found |= {f"cost/{part}_seconds": seconds for part, seconds in result.get("seconds", {}).items()}
    return {key: float(value) for key, value in found.items() if value is not None}


def tags(content: Content) -> dict[str, str]:
    """Where the run comes from and what it belongs to."""
    start, config = content.start, content.config
    commit = start.get("commit")
    command = " ".join(["sota-exp train", *map(str, content.origin.get("overrides", []))])
    found = {
        "mlflow.source.name": "sota-exp train",
        "command": command[:5000],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit and commit.removesuffix("-dirty"),
        "mlflow.user": start.get("user"),
        "git_commit": commit,
        "host": start.get("host"),
        "device": start.get("device"),
        "recipe": config["recipe"]["name"],
        "data": config["data"].get("name"),
        "sweep": Path(content.origin.get("parent") or "single runs").name,
        "kind": content.origin.get("kind", "run"),
        "arm": content.origin.get("arm"),
        "fingerprint": start.get("fingerprint"),
        "run_id": start["id"],
        "directory": str(content.directory),
        "reason": (content.result or {}).get("reason"),
    }
    return {key: str(value) for key, value in found.items() if value}
