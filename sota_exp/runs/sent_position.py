"""How much of a run was sent to MLflow: `tracking.json` in its directory.

Imports neither torch nor mlflow, so that the process that sends runs starts quickly.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from sota_exp.config.formats import load_yaml
from sota_exp.runs.atomic import write_recomputable_text

#: Environment variable with the origin of a run as JSON: {"kind": "trial" | "arm", "name": …, "parent": directory}.
ORIGIN_VARIABLE = "SOTA_EXP_ORIGIN"

#: The file of a cross-validation, in the folder above its runs.
FOLDS_FILE = "folds.json"


@dataclass(frozen=True, kw_only=True)
class SentPosition:
    """Which of a run's files the store at `uri` contains.

    key: the `id` in start.json of the MLflow run `run_id`; another id is another MLflow run.
    sent: the stamp of the result if the run was sent completely, else "".
    artifacts: file → its stamp when it was sent.
    problem: why the last attempt to send failed; None if it did not.
    """

    uri: str = ""
    experiment: str = ""
    origin: dict[str, Any] = field(default_factory=dict)
    log_model: bool = False
    key: str = ""
    run_id: str | None = None
    artifacts: dict[str, str] = field(default_factory=dict)
    sent: str = ""
    problem: str | None = None

    @classmethod
    def read(cls, directory: Path) -> "SentPosition":
        """Read `tracking.json`; a new position if it is missing or not readable."""
        try:
            values = json.loads((directory / "tracking.json").read_text())
        except (OSError, ValueError, RecursionError):
            return cls()
        if not isinstance(values, dict) or not isinstance(values.get("origin", {}), dict):
            return cls()
        found = cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})
        if "parent" in found.origin:
            found.origin["parent"] = find_parent(directory, found.origin["parent"])
        return found

    def write(self, directory: Path) -> None:
        write_recomputable_text(directory / "tracking.json", json.dumps(asdict(self), indent=2) + "\n")

    def at(self, uri: str, experiment: str) -> "SentPosition":
        """The position in that store: this one, or a new one for another store or experiment."""
        if (self.uri, self.experiment) == (uri, experiment):
            return self
        return SentPosition(uri=uri, experiment=experiment, origin=self.origin, log_model=self.log_model)

    def with_origin(self, origin: dict[str, Any], log_model: bool) -> "SentPosition":
        return replace(self, origin=origin or self.origin, log_model=log_model, sent="", problem=None)


def get_file_stamp(path: Path) -> str:
    """A text that changes whenever the file is written (size and time); "" for a missing file."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def read_origin(directory: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """{kind, name, parent, overrides} of a run, from `variables`, else from Hydra's files in its directory."""
    hydra = _read_yaml(directory / ".hydra" / "hydra.yaml").get("hydra", {})
    overrides = hydra.get("overrides", {}).get("task", [])
    origin = {"kind": "run", "name": directory.resolve().name, "parent": None, "overrides": overrides}
    sweep = directory.resolve().parent
    if hydra.get("mode") == "MULTIRUN" and (sweep / "multirun.yaml").is_file():
        common = read_multirun_overrides(sweep)
        # The overrides that differ between jobs, each with the last part of its key.
        varied = [re.sub(r"^[^=]*[./]", "", item) for item in overrides if item not in common and "=" in item]
        origin |= {"parent": str(sweep), "name": f"{origin['name']}: {' '.join(varied) or 'as it is'}"}
    if (sweep / FOLDS_FILE).is_file():
        origin |= {"kind": "fold", "parent": str(sweep), "name": f"{sweep.name}: {origin['name']}"}
    return origin | json.loads(variables.get(ORIGIN_VARIABLE, "{}"))


def find_parent(directory: Path, written: object) -> str | None:
    """The folder of the sweep or study above a run, which may have been moved with it since its path was written."""
    name = Path(str(written)).name
    return next((str(folder) for folder in directory.resolve().parents if folder.name == name != ""), None)


def read_multirun_overrides(sweep: Path) -> list[str]:
    """The overrides of a multirun from Hydra's multirun.yaml; [] without it."""
    overrides: list[str] = read_multirun_node(sweep).get("overrides", {}).get("task", [])
    return overrides


def read_multirun_node(sweep: Path) -> dict[str, Any]:
    """Hydra's node of multirun.yaml; {} without it."""
    found: dict[str, Any] = _read_yaml(sweep / "multirun.yaml").get("hydra", {})
    return found


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        found = load_yaml(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
