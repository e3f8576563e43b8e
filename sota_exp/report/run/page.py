"""The report of a run: `report.html`, `report.md` and `figures/`, from the files of its directory."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from sota_exp.config.data_paths import name_data
from sota_exp.errors import ConfigError
from sota_exp.report.document.markdown import Code, Columns, Table, hide_home, link
from sota_exp.report.document.write import WrittenReport, write_report
from sota_exp.report.numbers import format_accuracy, format_count, format_duration, format_mebibytes, format_quantity
from sota_exp.report.run.facts import SCORE_HEADINGS, format_command, format_score_cells, list_further_scores
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.report.run.figures import build_run_figures
from sota_exp.runs.chance import describe_chance
from sota_exp.runs.find import SavedRun
from sota_exp.runs.result_json import describe_saved_epoch
from sota_exp.runs.sent_position import SentPosition
from sota_exp.statistics.units import SHARE_FORMAT, UNKNOWN

#: Files that the page links, where they are there.
LINKED_FILES = (
    *("config.yaml", "result.json", "metrics.jsonl", "predictions.csv", "mistakes.csv"),
    *("model.safetensors", "run.log"),
)


def write_run_report(directory: Path, **added: Any) -> WrittenReport:
    """Write the report of the run or evaluation in a directory, by the template `run.md.jinja`.

    added: see `RunFigureData.mistakes`.

    Raises:
        ConfigError: it has not finished, or files of it are missing or damaged.
    """
    position = SentPosition.read(directory)
    saved = SavedRun.read(directory, position.origin)
    if not saved.is_complete:
        raise ConfigError(f"{saved.name} is {saved.status}: a page is made of a finished run")
    try:
        run = RunFigureData.read(directory, **added)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{saved.name}: no page can be made: {error}") from error
    return write_report(directory, "run/run.md.jinja", **collect_values(saved, run, position))


def collect_values(saved: SavedRun, run: RunFigureData, position: SentPosition) -> dict[str, Any]:
    """What the template shows."""
    result, data = run.result, saved.start.get("data") or {}
    parts = list(result["evaluated_images"])
    further = list_further_scores(result)
    slots = [[Code(slot), Code(option)] for slot, option in saved.choices.items() if slot != "tracking"]
    accuracy, interval, *_ = format_score_cells(result, run.part)
    return {
        "title": f"{saved.config['recipe']['name']} on {name_data(saved.config['data'])}, seed {saved.seed}",
        "facts": [
            time.strftime("%Y-%m-%d %H:%M", time.localtime(saved.start["time"])),
            "evaluation" if saved.is_evaluation else saved.status.replace("_", " "),
            *([format_count(len(run.epochs), "epoch")] if run.epochs else []),
            *(f"{num:,} {part} images" for part, num in (data.get("counts") or result["evaluated_images"]).items()),
            f"{len(run.classes):,} classes",
            str(result.get("device") or ""),
        ],
        "run": run,
        "accuracy": accuracy,
        "interval": interval,
        "at_chance": describe_chance(result, run.part),
        "saved": saved,
        "weights": "" if saved.is_evaluation else describe_saved_epoch(result),
        "figures": {figure.name: figure for figure in build_run_figures(run)},
        "scores": Table(SCORE_HEADINGS, [[part, *format_score_cells(result, part)] for part in parts]),
        "further": Table(further[0], further[1:]) if further else None,
        "classes": build_class_table(run),
        "pairs": build_pair_table(result),
        "views": build_view_table(result.get("resolution") or {}),
        "search": result.get("resolution") or {},
        "scale": SHARE_FORMAT,
        "slots": Table(["Slot", "Option"], slots, ["Option"]),
        "cost": build_cost_table(result),
        "command": "" if saved.is_evaluation else format_command(saved),
        "configuration": hide_home(yaml.safe_dump(saved.config, sort_keys=False, allow_unicode=True)),
        "environment": Table(
            ["What", "Which"], [[name, Code(text)] for name, text in saved.environment.items()], ["Which"]
        ),
        "files": [link(Code(name), quote(name)) for name in LINKED_FILES if (saved.directory / name).is_file()],
        "mlflow": position.run_id and hide_home(f"{position.run_id}, in {position.uri}"),
    }


def build_class_table(run: RunFigureData) -> Table:
    """A row per class: its images, how many are recognized, how many predictions of it are right, and its confusion."""
    rows = []
    for index, (name, row) in enumerate(zip(run.classes, run.confusion, strict=True)):
        right, images, predicted = row[index], row.sum(), run.confusion[:, index].sum()
        wrong = row.copy()
        wrong[index] = 0
        other = f"{run.classes[wrong.argmax()]} ({wrong.max():,.0f})" if wrong.any() else UNKNOWN
        shares = (format_accuracy(right / all_) if all_ else UNKNOWN for all_ in (images, predicted))
        rows.append([name, f"{images:,.0f}", *shares, other])
    return Table(
        ["Class", "Images", "Recognized", "Right when predicted", "Most often taken for"],
        rows,
        ["Most often taken for"],
    )


def build_pair_table(result: dict[str, Any]) -> Table:
    """The pairs of classes that are confused most often; empty for a result of a version that did not find them."""
    rows = [
        [pair["label"], pair["prediction"], f"{pair['images']:,}", format_accuracy(pair["share"])]
        for pair in result.get("confused_pairs") or ()
    ]
    return Table(["Class", "Taken for", "Images", "Of the class"], rows, ["Taken for"])


def build_view_table(search: dict[str, Any]) -> Table:
    """The views of a resolution search: the size of the crop and of the image that it is cut from."""
    names = {str(search.get(name)): name for name in ("default", "chosen")}
    columns: Columns = {
        "Crop, px": lambda view: str(view["size"]),
        "Of, px": lambda view: str(view["resize"]),
        "Val accuracy": lambda view: format_accuracy(view["val_accuracy"]),
        "GFLOPs": lambda view: f"{view['gflops_per_image']:.3f}",
        "ms per image": lambda view: f"{view['milliseconds_per_image']:.2f}",
        "": lambda view: names.get(str({"resize": view["resize"], "size": view["size"]}), ""),
    }
    return Table.of(search.get("curve") or [], columns, [""])


def build_cost_table(result: dict[str, Any]) -> Table:
    rate, memory = result.get("images_per_second"), result.get("peak_memory_bytes")
    rows = [[f"time: {name}", format_duration(seconds)] for name, seconds in result["seconds"].items()]
    rows += [
        ["images per second", f"{rate:,.0f}" if rate else UNKNOWN],
        ["peak memory", format_mebibytes(memory)],
        ["parameters", format_quantity(result.get("parameters"))],
        ["FLOPs per image", format_quantity(result.get("flops_per_image"), "FLOPs")],
    ]
    return Table(["Cost", "Amount"], rows)
