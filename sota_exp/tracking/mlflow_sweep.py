"""The result of a sweep on its parent run in MLflow: a note and best values."""

import json
from pathlib import Path
from typing import Any

from sota_exp.tracking.mlflow_note import format_page_line


def read_sweep(directory: Path) -> tuple[dict[str, str], dict[str, float]]:
    """Tags and metrics of the sweep."""
    summary = json.loads((directory / "sweep.json").read_text())
    tags = {
        "mlflow.note.content": f"{(directory / 'sweep.md').read_text()}\n{format_page_line(directory.resolve())}",
        "objective": ", ".join(summary["objective"]),
        "direction": ", ".join(summary["direction"]),
        "mlflow.source.name": "sota-exp sweep",
        "command": summary["command"][:5000],
    }
    if summary["confirm"]:
        tags["verdict"] = summary["confirm"]["verdict"]
    return tags, build_metrics(summary)


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
        found["confirm/test_difference"] = confirm["test"]["mean"]
        if confirm["test"]["interval"]:
            found |= dict(zip(("confirm/low", "confirm/high"), confirm["test"]["interval"], strict=True))
    return found
