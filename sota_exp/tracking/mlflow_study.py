"""The result of a study on its parent run in MLflow: a note with the verdicts, artifacts and figures.

The first tracked run of the study creates the parent run; without one there is nothing to update.
"""

import json
import os
from pathlib import Path
from typing import Any

from sota_exp.errors import in_a_line
from sota_exp.runs.mlflow_store import dashboard_of, environment, experiment_id, masked, opened, resolved, unanswered
from sota_exp.statistics.units import scale_of
from sota_exp.tracking.mlflow_parent import bring_up

#: Seconds for one request, and how often it is repeated.
TIMEOUT, RETRIES = 10, 2


def show_study(directory: Path, uri: str | None, experiment: str, status: str = "FINISHED") -> str:
    """Send note, artifacts and status of the study; returns one line: where to see them, or why they are not sent."""
    try:
        store = resolved(uri, Path.cwd())
        if (reason := unanswered(store, 2.0)) is not None:
            return f"MLflow: the study's note is not sent ({reason}); repeat the command when it answers"
        os.environ.update(environment(TIMEOUT, RETRIES))
        return _send(directory, store, experiment, status)
    except Exception as error:  # An error of tracking must not stop a study.
        return f"MLflow: the study's note is not sent ({in_a_line(error)})"


def _send(directory: Path, uri: str, experiment: str, status: str) -> str:
    facts = directory / "tracking.json"
    if not facts.exists():
        return "MLflow: none of the study's runs is shown there; sota-exp sync sends them"
    client = opened(uri)
    experiment_number = experiment_id(client, uri, experiment)
    found = client.search_runs(
        [experiment_number], f"tags.run_id = '{json.loads(facts.read_text())['id']}'", max_results=1
    )
    if not found:
        return "MLflow: none of the study's runs is shown there; sota-exp sync sends them"
    run_id = found[0].info.run_id
    study: dict[str, Any] = json.loads((directory / "study.json").read_text())
    bring_up(client, found[0], directory, {"mlflow.note.content": note(study)}, differences(study), status)
    return masked(f"MLflow: study {run_id}; see it with {dashboard_of(uri, experiment)}")


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
