"""The run of a sweep or study, above the runs of its jobs: made by the first job, in whatever process, found by the others."""

import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from sota_exp.atomic import replace_text
from sota_exp.tracking.mlflow_content import Content

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: The kind of a parent, by its children's.
KINDS = {"run": "sweep", "trial": "sweep", "confirm": "sweep", "arm": "study"}


def parent_run(client: "MlflowClient", uri: str, experiment: str, directory: Path, child: Content) -> str:
    """The run id of the sweep in `directory`, training again."""
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / ".tracking.lock", timeout=60):
        facts = _read(directory)
        query = f"tags.run_id = '{facts['id']}'"
        found = client.search_runs([experiment], query, max_results=1)
        if found:
            client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        kind = KINDS.get(child.origin.get("kind", "run"), "sweep")
        labels = {
            "run_id": facts["id"],
            "kind": kind,
            "directory": str(directory),
            "mlflow.note.content": _note(directory, kind),
            "mlflow.source.name": "sota-exp ablate" if kind == "study" else "sota-exp train -m",
            "command": _command(directory)[:5000],
            "mlflow.source.type": "LOCAL",
        }
        begun = round(facts["time"] * 1000)
        return client.create_run(experiment, begun, labels, directory.name).info.run_id


def _read(directory: Path) -> dict[str, Any]:
    """`tracking.json` of a sweep: its own id and when it began."""
    path = directory / "tracking.json"
    if not path.exists():
        replace_text(path, json.dumps({"id": uuid.uuid4().hex, "time": time.time()}) + "\n")
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


def _command(directory: Path) -> str:
    path = directory / "multirun.yaml"
    asked = yaml.safe_load(path.read_text())["hydra"]["overrides"]["task"] if path.exists() else []
    if any(str(item).startswith("+study=") for item in asked):
        return " ".join(
            ["sota-exp ablate", *(str(item).removeprefix("+").replace("=equal_arms", "=null") for item in asked)]
        )
    return " ".join(["sota-exp train -m", *map(str, asked)]) if asked else directory.name


def _note(directory: Path, kind: str) -> str:
    return (
        f"The runs of one {kind} are below this one; its files are in `{directory}`.\n\n```\n{_command(directory)}\n```"
    )
