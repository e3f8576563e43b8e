"""What MLflow shows of a run, from the run's files alone: names, parameters, points, tags, status.

Equal files give equal content, timestamps included, so that sending twice changes nothing. Imports neither torch nor mlflow.
"""

import functools
import json
import math
import posixpath
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sota_exp.formats import read_config
from sota_exp.statuses import COMPLETE

#: MLflow cuts longer parameter values without a word; the full configuration is an artifact.
LONGEST_PARAM = 6000

#: MLflow's own names for how a run ended.
STATUSES = {
    "finished": "FINISHED",
    "stopped_early": "FINISHED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}

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

#: A run on another host that wrote nothing for so long is taken as killed; what follows it writes its position every half minute.
SILENT_SECONDS = 3600.0

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


@dataclass(frozen=True, kw_only=True)
class Content:
    """The files of a run, read at one moment.

    epochs: of a run without an end, those that a checkpoint covers: what comes after it is trained again after a kill.
    result: None where no end was written since the last start.
    is_over: somebody knows that nobody trains it any more, whatever the files say.
    """

    directory: Path
    start: dict[str, Any]
    config: dict[str, Any]
    epochs: list[dict[str, Any]]
    result: dict[str, Any] | None
    origin: dict[str, Any] = field(default_factory=dict)
    is_over: bool = False

    @classmethod
    def read(cls, directory: Path, origin: dict[str, Any]) -> "Content":
        """What is there now.

        Raises:
            OSError, ValueError: the directory holds no run.
        """
        path = directory / "config.yaml"
        config = _config(path, path.stat().st_mtime_ns)
        result = _json(directory / "result.json")
        start = _json(directory / "start.json") or _start_from(directory, result or {})
        if result is not None and _is_of_an_earlier_start(directory, result, start):
            result = None
        epochs = _lines(directory / "metrics.jsonl")
        return cls(
            directory=directory.resolve(),
            start=start,
            config=config,
            epochs=epochs if result is not None else epochs[: _covered(directory)],
            result=result,
            origin=origin,
        )

    @property
    def told(self) -> dict[str, Any] | None:
        """The result as it is shown: of a sweep's trial without test, by which nobody is to choose; its files have it."""
        if self.result is None or self.origin.get("kind") != "trial":
            return self.result
        metrics = {key: value for key, value in self.result["metrics"].items() if not key.startswith("test/")}
        images = {split: num for split, num in self.result["evaluated_images"].items() if split != "test"}
        return self.result | {"metrics": metrics, "evaluated_images": images, "per_class_accuracy": {}}

    @property
    def name(self) -> str:
        return str(self.origin.get("name") or self.directory.name)

    @property
    def started_ms(self) -> int:
        return round(self.start["time"] * 1000)

    @property
    def status(self) -> str:
        """MLflow's word; KILLED for a run that ended without writing how."""
        if self.result is not None:
            return STATUSES[self.result["status"]]
        return "RUNNING" if not self.is_over and is_alive(self.start, self.directory) else "KILLED"

    @property
    def last_step(self) -> int:
        return int(self.epochs[-1]["epoch"]) if self.epochs else 0


def is_alive(start: dict[str, Any], directory: Path) -> bool:
    """Whether the process that wrote `start.json` trains still; on another host, whether it wrote something lately."""
    if not is_here(start):
        return "host" in start and time.time() - _last_written(directory) < SILENT_SECONDS
    try:
        process = psutil.Process(start["pid"])
        born = process.create_time()
        # Another process may have the number by now; create_time is of a clock that can be set, hence the second.
        return process.status() != psutil.STATUS_ZOMBIE and abs(born - start.get("born", born)) < 1
    except psutil.NoSuchProcess:
        return False


def is_here(start: dict[str, Any]) -> bool:
    """Whether the run was started on this host, where its process can be looked at."""
    return bool(start.get("host") == socket.gethostname())


def _last_written(directory: Path) -> float:
    """When a run that trains wrote last, in seconds since 1970."""
    paths = [directory / name for name in ("start.json", "metrics.jsonl", "tracking.json", "run.log")]
    return max(path.stat().st_mtime for path in paths if path.exists())


def _is_of_an_earlier_start(directory: Path, result: dict[str, Any], start: dict[str, Any]) -> bool:
    """A start that goes on from an interrupted run finds that run's result, until it writes its own."""
    if result["fingerprint"] != start["fingerprint"]:
        return True
    if result["status"] in COMPLETE or not (directory / "start.json").exists():
        return False
    if result.get("start"):
        return bool(result["start"] != start.get("start"))
    # Of a start that failed before it had a name, or an older version; a copy of the directory may turn the times around.
    return (directory / "result.json").stat().st_mtime_ns < (directory / "start.json").stat().st_mtime_ns


@functools.lru_cache(maxsize=1)
def _config(path: Path, changed_ns: int) -> Any:
    """Parsed once while it stays as it is: a follower reads it every epoch, and YAML is slow."""
    return read_config(path)


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _covered(directory: Path) -> int:
    """How many epochs the run's checkpoint covers; 0 without one."""
    try:
        return int((directory / "checkpoint" / "epochs").read_text())
    except (OSError, ValueError):
        return 0


def _lines(path: Path) -> list[dict[str, Any]]:
    """Every whole line; one that is being written is left for later."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _start_from(directory: Path, result: dict[str, Any]) -> dict[str, Any]:
    """What can still be said of a run without `start.json`."""
    return {
        "id": result.get("fingerprint", directory.resolve().name),
        "time": (directory / "config.yaml").stat().st_mtime,
        **{name: result.get(name) for name in ("choices", "device", "commit", "fingerprint", "parameters")},
    }


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
