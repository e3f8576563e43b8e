"""The result of a sweep on its parent run in MLflow: note, best values, figures and tables, from the sweep's files."""

import json
from pathlib import Path
from typing import Any

from sota_exp.errors import in_a_line
from sota_exp.runs.mlflow_store import opened, unanswered
from sota_exp.runs.sent_position import Position
from sota_exp.tracking.mlflow_parent import bring_up


def show_sweep(directory: Path, status: str = "FINISHED") -> str | None:
    """Update the parent run of the sweep; returns why this failed, or None. status: the run's new status in MLflow."""
    position = next(
        (found for path in sorted(directory.glob("*/tracking.json")) if (found := Position.read(path.parent)).run_id),
        None,
    )
    if position is None:
        return "none of its trials is in MLflow"
    if reason := unanswered(position.uri, 2.0):
        return reason
    try:
        _show(directory, position, status)
    except Exception as error:
        return in_a_line(error)
    return None


def _show(directory: Path, position: Position, status: str) -> None:
    client = opened(position.uri)
    assert position.run_id is not None
    parent = client.get_run(client.get_run(position.run_id).data.tags["mlflow.parentRunId"])
    summary = json.loads((directory / "sweep.json").read_text())
    tags = {
        "mlflow.note.content": (directory / "sweep.md").read_text(),
        "mlflow.source.name": "sota-exp sweep",
        "command": summary["command"][:5000],
    }
    if summary["confirm"]:
        tags["verdict"] = summary["confirm"]["verdict"]
    bring_up(client, parent, directory, tags, build_metrics(summary), status)


def build_metrics(summary: dict[str, Any]) -> dict[str, float]:
    """Metrics `trials/…` (counts), `best/…` (from the search), and `confirm/…` (on fresh seeds)."""
    found: dict[str, float] = {f"trials/{name}": float(num) for name, num in summary["trials"].items()}
    best, confirm = summary["best"], summary["confirm"]
    if best:
        values = best["value"] if isinstance(best["value"], list) else [best["value"]]
        for name, value in zip(summary["objective"], values, strict=True):
            found[f"best/{name.replace('/', '_')}"] = float(value)
        found["best/trial"] = float(best["number"])
    if confirm and confirm["test"]:
        low, high = confirm["test"]["interval"]
        found |= {"confirm/test_difference": confirm["test"]["mean"], "confirm/low": low, "confirm/high": high}
    return found
