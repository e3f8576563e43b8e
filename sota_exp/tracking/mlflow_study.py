"""The result of a study on its parent run in MLflow: a note with the verdicts, and the differences."""

import json
from pathlib import Path
from typing import Any

from sota_exp.report.study.read import read_headline
from sota_exp.statistics.units import UNKNOWN, MetricFormat, get_metric_format
from sota_exp.tracking.mlflow_note import format_markdown_table, format_page_line

#: What a study was asked to do, as tags of its run.
SETTINGS = ("title", "recipe", "data", "metric", "level", "budget", "status")


def read_study(directory: Path) -> tuple[dict[str, str], dict[str, float]]:
    """The note of the study and its settings as tags, and the differences as metrics."""
    study: dict[str, Any] = json.loads((directory / "study.json").read_text())
    settings = {name: str(study[name]) for name in SETTINGS if study.get(name) is not None}
    settings |= {
        "seeds": ", ".join(map(str, study["seeds"])),
        "arms": ", ".join(arm["name"] for arm in study["arms"])[:5000],
    }
    note = f"{format_study_note(study)}\n\n{format_page_line(directory.resolve())}"
    return settings | {"mlflow.note.content": note}, build_difference_metrics(study)


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
    rows = [["arm", "n", unit.difference_unit or "difference", "interval", "verdict"]]
    for arm in study["arms"]:
        cells = ["", ""]
        if arm["difference"] is not None:
            span = UNKNOWN
            if (interval := read_headline(arm).headline) is not None:
                span = unit.span(interval.low, interval.high, " … ")
            cells = [unit.difference(arm["difference"]), span]
        rows.append([arm["label"], str(arm["n"]), *cells, f"**{arm['verdict']}**"])
    parts = [
        f"**{study['title']}**: {study['recipe']} on {study['data']}, by {study['metric']}, {study['status']}.",
        *([f"**Warning**: {study['warning']}"] if study.get("warning") else []),
        *_format_first_stage(study, unit),
        format_markdown_table(rows),
        *study["notes"],
        *(f"Refused {item['name']}: {item['reason']}" for item in study["refused"]),
        *([f"Missing: {len(study['missing'])} runs."] if study["missing"] else []),
        f"```\n{study['command']}\n```",
    ]
    return "\n\n".join(parts)


def _format_first_stage(study: dict[str, Any], unit: MetricFormat) -> list[str]:
    """What stage 1 of a study of two stages has shown, as Markdown; [] of other studies."""
    if not (screening := study.get("screening")):
        return []
    rows = [["technique", f"main effect on {screening['metric']}", "stage 2"]]
    rows += [[row["label"], unit.difference(row["estimate"]), row["verdict"]] for row in screening["effects"]]
    return [screening["words"], *([format_markdown_table(rows)] if rows[1:] else [])]
