"""The Markdown note of a run in MLflow: configuration, scores, cost and command, from the files of the run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sota_exp.config.data_paths import name_data
from sota_exp.config.printable import make_decodable
from sota_exp.config.shell_words import quote_word
from sota_exp.report.numbers import format_sizes
from sota_exp.report.run.facts import (
    SCORE_HEADINGS,
    find_extreme_classes,
    format_command,
    format_confused_pairs,
    format_model_cost,
    format_score_cells,
    list_further_scores,
    list_techniques,
)
from sota_exp.runs.contents import RunContent
from sota_exp.runs.result_json import describe_saved_epoch, get_saved_epoch, is_evaluation


def format_markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table with em spaces, because MLflow displays tables without space between columns."""
    table = ["| " + " | ".join(f"{cell}\N{EM SPACE}" for cell in line) + " |" for line in lines]
    return "\n".join([table[0], "|---" * len(lines[0]) + "|", *table[1:]])


def format_run_note(content: RunContent) -> str:
    """The whole note."""
    parts = [format_heading(content)]
    result = content.result_for_display
    if not result:
        parts.append("Training.")
    elif result["metrics"]:
        parts += [format_scores(result), format_classes_and_cost(result)]
    if result.get("reason"):
        parts.append(f"**{result['status'].replace('_', ' ').capitalize()}**: {result['reason']}.")
    chosen = ", ".join(f"`{choice}`" for choice in list_techniques(content.choices))
    repeats = []
    if not is_evaluation(result):
        command = format_command(content)
        repeats = [f"```\n{command}\n```" if command else "", content.handed_in]
    page = [format_page_line(content.directory)] if result.get("metrics") else []
    return "\n\n".join([*parts, f"Chosen: {chosen}.", *filter(None, repeats), *page])


def format_page_line(directory: Path) -> str:
    """The command that writes the page of a run, a study or a sweep."""
    return f"Its page: `sota-exp report {make_decodable(quote_word(str(directory)))}`"


def format_heading(content: RunContent) -> str:
    config, data = content.config, content.start.get("data") or {}
    counts = format_sizes(data.get("counts", {}))
    of = f" ({counts} images, {len(data['classes'])} classes)" if counts else ""
    return (
        f"**{config['recipe']['name']}** recipe on **{name_data(config['data'])}**{of}, "
        f"scale {config['scale']['name']}, seed {config['seed']}."
    )


def format_scores(result: dict[str, Any]) -> str:
    """A table of both splits; test first, because MLflow collapses the rest."""
    rows = [list(SCORE_HEADINGS)]
    for split in sorted(result["evaluated_images"]):
        accuracy, *others = format_score_cells(result, split)
        rows.append([split, f"**{accuracy}**", *others])
    names = (
        "The val scores above are the metrics `best/val_…`; `val/…` are curves, whose last value is the last epoch's."
    )
    tables = [format_markdown_table(table) for table in (rows, list_further_scores(result)) if table]
    if is_evaluation(result):
        return "\n\n".join([*tables, f"Scores of the weights `{result['weights']}`, by `sota-exp evaluate`."])
    best = f"Saved weights: {describe_saved_epoch(result)}."
    if result["status"] == "pruned":
        best = f"Scores of epoch {get_saved_epoch(result)}, the best on val; a pruned run saves no weights."
    return "\n\n".join([*tables, f"{best} {names}"])


def format_classes_and_cost(result: dict[str, Any]) -> str:
    classes = ""
    if len(result["per_class_accuracy"]) > 1:
        found = find_extreme_classes(result).items()
        classes = " ".join(f"{heading.capitalize()}: {names}." for heading, names in found) + "\n\n"
    if confused := format_confused_pairs(result):
        classes += f"Most often confused: {confused}.\n\n"
    if is_evaluation(result):
        return (
            f"{classes}Cost: {result['seconds']['evaluate']:,.0f} s on {result['device']}; {format_model_cost(result)}."
        )
    return (
        f"{classes}Cost: {result['seconds']['train']:,.0f} s of training at {result['images_per_second']:,.0f} "
        f"images/s on {result['device']}; {format_model_cost(result)}."
    )
