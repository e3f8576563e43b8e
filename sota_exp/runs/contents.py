"""A run as its files say at one moment: configuration, epochs, result, and whether it still trains.

Imports neither torch nor mlflow.
"""

import functools
import json
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sota_exp.config.formats import read_config
from sota_exp.runs.status import COMPLETE


def tracking_of(directory: Path) -> dict[str, Any]:
    """The run's own settings of tracking; {} where its configuration holds none or cannot be read."""
    try:
        tracking = read_config(directory / "config.yaml").get("tracking")
    except (OSError, ValueError):
        return {}
    return tracking if isinstance(tracking, dict) else {}


#: MLflow's own names for how a run ended.
STATUSES = {
    "finished": "FINISHED",
    "stopped_early": "FINISHED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}

#: A run on another host that wrote nothing for so long is taken as killed; what follows it writes its position every half minute.
SILENT_SECONDS = 3600.0


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
