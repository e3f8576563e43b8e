"""The files of a run, read at one moment: configuration, epochs, result, and whether it is still training.

Imports neither torch nor mlflow.
"""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sota_exp.errors import ConfigError
from sota_exp.runs.digests import read_checked, read_json_lines, read_object, read_run_config
from sota_exp.runs.lock import find_owner
from sota_exp.runs.result_json import count_epochs_from_one
from sota_exp.runs.status import COMPLETE_STATUSES


def read_tracking_values(directory: Path) -> dict[str, Any]:
    """The values of the run's group `tracking`; {} if there are none or the file cannot be read."""
    path = directory / "config.yaml"
    try:
        tracking = _read_cached_config(path, path.stat().st_mtime_ns).get("tracking")
    except (OSError, ValueError):
        return {}
    return tracking if isinstance(tracking, dict) else {}


#: Status of a run → MLflow's status.
MLFLOW_STATUSES = {
    "running": "RUNNING",
    "killed": "KILLED",
    "finished": "FINISHED",
    "stopped_early": "FINISHED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """The files of a run, read at one moment.

    epochs: without a result, only those that the checkpoint covers: a resumed run trains later epochs again.
    Older versions count their key `epoch` from 0.
    result: {} if none was written since the last start; epochs are counted from 1.
    is_over: the caller knows that the run no longer trains, whatever the files contain.
    """

    directory: Path
    start: dict[str, Any]
    config: dict[str, Any]
    epochs: list[dict[str, Any]]
    result: dict[str, Any]
    origin: dict[str, Any] = field(default_factory=dict)
    is_over: bool = False

    @classmethod
    def read(cls, directory: Path, origin: dict[str, Any] | None = None) -> Self:
        """Read the files; an OSError, ValueError, KeyError or TypeError if this is not the directory of a run."""
        path = directory / "config.yaml"
        config = _read_cached_config(path, path.stat().st_mtime_ns)
        result = read_object(directory / "result.json", "status", "fingerprint") or {}
        result = count_epochs_from_one(result)
        start = read_object(directory / "start.json", "id", "time", "fingerprint") or _infer_start(directory, result)
        if result and _is_from_earlier_start(directory, result, start):
            result = {}
        epochs = read_json_lines(directory / "metrics.jsonl")
        return cls(
            directory=directory.resolve(),
            start=start,
            config=config,
            epochs=epochs if result else epochs[: _read_num_covered_epochs(directory)],
            result=result,
            origin=origin or {},
        )

    @property
    def choices(self) -> dict[str, str]:
        return self.result.get("choices") or self.start.get("choices") or {}

    @property
    def handed_in(self) -> str:
        """What it means for repeating the run that Python handed in its network or data set; "" if it did not."""
        found = {name for name, slot in (("network", "model/arch"), ("data set", "data")) if self.is_from_python(slot)}
        if found == {"data set"}:
            return "The data set was handed in from Python: commands find it as long as the cache has its images."
        what = " and the data set were" if len(found) > 1 else " was"
        words = f"The network{what} handed in from Python, sota_exp.train(…, model=, data=), and no file has the code"
        return f"{words}: no command repeats this run from its files (docs/python.md)." if found else ""

    def is_from_python(self, slot: str) -> bool:
        """Whether the network (`model/arch`) or the data set (`data`) is an object that Python handed in."""
        return self.choices.get(slot) == "python"

    @property
    def result_for_display(self) -> dict[str, Any]:
        """The result for display. For a trial of a sweep it has no test metrics, so that nobody selects on them."""
        if not self.result or self.origin.get("kind") != "trial":
            return self.result
        metrics = {key: value for key, value in self.result["metrics"].items() if not key.startswith("test/")}
        images = {split: num for split, num in self.result["evaluated_images"].items() if split != "test"}
        return self.result | {"metrics": metrics, "evaluated_images": images, "per_class_accuracy": {}}

    @property
    def mlflow_name(self) -> str:
        """The name in MLflow: from `origin`, or that of the directory."""
        return str(self.origin.get("name") or self.directory.name)

    @property
    def started_ms(self) -> int:
        """Time of the start, in milliseconds since 1970."""
        return round(self.start["time"] * 1000)

    @property
    def status(self) -> str:
        """The status of the result; without one, `running` or `killed`."""
        if self.result:
            return str(self.result["status"])
        return "running" if not self.is_over and find_owner(self.directory) else "killed"

    @property
    def mlflow_status(self) -> str:
        return MLFLOW_STATUSES[self.status]


def is_being_trained(directory: Path) -> bool:
    """Whether a process trains in the directory now, so that what its files say of an end is of an earlier start."""
    try:
        return RunContent.read(directory).status == "running"
    except (ConfigError, OSError, ValueError, KeyError, TypeError):
        return False


def _is_from_earlier_start(directory: Path, result: dict[str, Any], start: dict[str, Any]) -> bool:
    """Whether the result is from an earlier start: a resumed run keeps the old result until it writes its own."""
    if result["fingerprint"] != start["fingerprint"]:
        return True
    if result["status"] in COMPLETE_STATUSES or not (directory / "start.json").exists():
        return False
    if result.get("start"):
        return bool(result["start"] != start.get("start"))
    # Without ids of the starts (early failure, or an older version) only the times decide, which a copy may reverse.
    return (directory / "result.json").stat().st_mtime_ns < (directory / "start.json").stat().st_mtime_ns


@functools.lru_cache(maxsize=1)
def _read_cached_config(path: Path, changed_ns: int) -> Any:
    """Cached while the file is unchanged: tracking reads it every epoch, `sync` twice, and parsing YAML is slow."""
    return read_run_config(path)


def _read_num_covered_epochs(directory: Path) -> int:
    """Number of epochs that the checkpoint covers; 0 without one."""
    try:
        return int(read_checked(directory / "checkpoint" / "epochs"))
    except (OSError, ValueError):
        return 0


def _infer_start(directory: Path, result: dict[str, Any]) -> dict[str, Any]:
    """The content of `start.json` for a run without it, from the result and the configuration file."""
    return {
        "id": result.get("fingerprint", directory.resolve().name),
        "time": (directory / "config.yaml").stat().st_mtime,
        **{name: result.get(name) for name in ("choices", "device", "commit", "fingerprint", "parameters")},
    }
