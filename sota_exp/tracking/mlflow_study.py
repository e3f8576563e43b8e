"""The result of a study on its parent run in MLflow: a note with the verdicts, artifacts and figures.

The first tracked run of the study creates the parent run; without one there is nothing to update.
"""

import json
from pathlib import Path
from typing import Any

from sota_exp.runs.mlflow_store import dashboard_of, masked, resolved
from sota_exp.statistics.units import scale_of
from sota_exp.tracking.mlflow_parent import bring_up


def show_study(directory: Path, uri: str | None, experiment: str, status: str = "FINISHED") -> str:
    """Send note, artifacts and status of the study; returns one line: where to see them, or why they are not sent."""
    if problem := bring_up(directory, uri, experiment, status, read_study):
        return masked(f"MLflow: the study's note is not sent: {problem}")
    return masked(f"MLflow: see the study with {dashboard_of(resolved(uri, Path.cwd()), experiment)}")


def read_study(directory: Path) -> tuple[dict[str, str], dict[str, float]]:
    """The note of the study as a tag, and the differences as metrics."""
    study: dict[str, Any] = json.loads((directory / "study.json").read_text())
    return {"mlflow.note.content": note(study)}, differences(study)


def differences(study: dict[str, Any]) -> dict[str, float]:
    """{`difference/ARM`: difference} of every arm that was compared."""
    return {
        f"difference/{arm['name'].replace('+', '_')}": arm["difference"]
        for arm in study["arms"]
        if arm["difference"] is not None
    }


def note(study: dict[str, Any]) -> str:
    """Markdown: a table of the verdicts, refused arms, the number of missing runs, and the command."""
    unit = scale_of(study["metric"])
    rows = [f"| arm | n | {unit.difference_unit or 'difference'} | interval | verdict |", "|---|---|---|---|---|"]
    for arm in study["arms"]:
        if arm["interval"] is None:
            rows.append(f"| {arm['label']} | {arm['n']} | | | {arm['verdict']} |")
            continue
        low, high = arm["interval"]
        difference, interval = unit.difference(arm["difference"]), unit.span(low, high, " … ")
        rows.append(f"| {arm['label']} | {arm['n']} | {difference} | {interval} | **{arm['verdict']}** |")
    parts = [
        f"**{study['title']}**: {study['recipe']} on {study['data']}, by {study['metric']}, {study['status']}.",
        "\n".join(rows),
        *study["notes"],
        *(f"Refused {item['name']}: {item['reason']}" for item in study["refused"]),
        *([f"Missing: {len(study['missing'])} runs."] if study["missing"] else []),
        f"```\n{study['command']}\n```",
    ]
    return "\n\n".join(parts)
