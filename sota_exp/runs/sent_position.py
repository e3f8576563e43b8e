"""How far a run has been shown: `tracking.json` in its directory. The spool is the run's files; this is the place in them.

Imports neither torch nor mlflow: the process that follows a run starts in a moment.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from sota_exp.config.formats import SAFE_LOADER
from sota_exp.runs.atomic import replace_text

#: Says of which kind a run is and what it belongs to: {"kind": "trial" | "arm", "name": …, "parent": directory}.
ORIGIN_VARIABLE = "SOTA_EXP_ORIGIN"


@dataclass(frozen=True, kw_only=True)
class Position:
    """What of a run's files the store at `uri` holds.

    key: the `id` of the start that `run_id` shows; another start is another MLflow run.
    sent: the stamp of the result that was sent with all that belongs to it, or "" while something is unsent.
    artifacts: the stamp of each file that was sent.
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
    def read(cls, directory: Path) -> "Position":
        """The written one; a fresh one where there is none, or none that can be read."""
        try:
            values = json.loads((directory / "tracking.json").read_text())
        except (OSError, ValueError):
            return cls()
        return cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})

    def write(self, directory: Path) -> None:
        replace_text(directory / "tracking.json", json.dumps(asdict(self), indent=2) + "\n")

    def at(self, uri: str, experiment: str) -> "Position":
        """The position in that store: a fresh one where it is another."""
        if (self.uri, self.experiment) == (uri, experiment):
            return self
        return Position(uri=uri, experiment=experiment, origin=self.origin, log_model=self.log_model)

    def asked(self, origin: dict[str, Any], log_model: bool) -> "Position":
        return replace(self, origin=origin or self.origin, log_model=log_model, sent="", problem=None)


def stamp(path: Path) -> str:
    """Changes whenever the file is written; "" for no file."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def origin_of(directory: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """{kind, name, parent, overrides} of a run: what a sweep or study says of it, else what Hydra left in its directory."""
    hydra = _yaml(directory / ".hydra" / "hydra.yaml").get("hydra", {})
    overrides = hydra.get("overrides", {}).get("task", [])
    origin = {"kind": "run", "name": directory.resolve().name, "parent": None, "overrides": overrides}
    if hydra.get("mode") == "MULTIRUN":
        varied = _varied(directory.resolve().parent, overrides)
        number = directory.resolve().name
        origin |= {"parent": str(directory.resolve().parent), "name": f"{number}: {' '.join(varied) or 'as it is'}"}
    return origin | json.loads(variables.get(ORIGIN_VARIABLE, "{}"))


def _varied(sweep: Path, overrides: list[str]) -> list[str]:
    """The overrides of a job that the sweep varies, each by the last part of its key."""
    asked = asked_of(sweep)
    return [
        item.split("=")[0].replace("/", ".").split(".")[-1] + "=" + item.split("=", 1)[-1]
        for item in overrides
        if item not in asked and "=" in item
    ]


def asked_of(sweep: Path) -> list[str]:
    """The overrides of a multirun, as Hydra left them in its directory; none where it did not."""
    asked: list[str] = _yaml(sweep / "multirun.yaml").get("hydra", {}).get("overrides", {}).get("task", [])
    return asked


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(path.read_text(), SAFE_LOADER)
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
