"""The result of a study on its parent run in MLflow: a note with the verdicts, artifacts and figures.

The first tracked run of the study creates the parent run; without one there is nothing to update.
"""

import json
from pathlib import Path
from typing import Any

from sota_exp.runs.mlflow_store import format_dashboard_command, mask_passwords, resolve_uri
from sota_exp.statistics.units import get_metric_format
from sota_exp.tracking.mlflow_parent import update_parent_run


def send_study_result(directory: Path, uri: str | None, experiment: str, status: str = "FINISHED") -> str:
    """Send note, artifacts and status of the study; returns one line: where to see them, or why they are not sent."""
    if problem := update_parent_run(directory, uri, experiment, status, read_study):
        return mask_passwords(f"MLflow: the study's note is not sent: {problem}")
    return mask_passwords(
        f"MLflow: see the study with {format_dashboard_command(resolve_uri(uri, Path.cwd()), experiment)}"
    )


def read_study(directory: Path) -> tuple[dict[str, str], dict[str, float]]:
    """The note of the study as a tag, and the differences as metrics."""
    study: dict[str, Any] = json.loads((directory / "study.json").read_text())
    return {"mlflow.note.content": format_study_note(study)}, build_difference_metrics(study)


def build_difference_metrics(study: dict[str, Any]) -> dict[str, float]:
    """{`difference/ARM`: difference} of every arm that was compared."""
    return {
        f"difference/{arm['name'].replace('+', '_')}": arm["difference"]
        for arm in study["arms"]
        if arm["difference"] is not None
    }


def format_study_note(study: dict[str, Any]) -> str:
    """Markdown: a table of the verdicts, refused arms, the number of missing runs, and the command."""
    unit = get_metric_format(study["metric"])
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
