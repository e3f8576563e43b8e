"""The tables of a comparison, for the page and the terminal."""

import re
from pathlib import Path

from sota_exp.config.values import join_first
from sota_exp.report.comparison.compare_runs import RunComparison
from sota_exp.report.comparison.compare_runs import SeedStatistics as Value
from sota_exp.report.comparison.groups import SeedGroup
from sota_exp.report.document.markdown import Code, Columns, Strong, Table
from sota_exp.report.numbers import format_interval, format_yaml_value, join_with_and
from sota_exp.runs.find import SavedRun
from sota_exp.statistics.units import METRIC_WORDS, SHARE_FORMAT, UNKNOWN, format_p_value, get_metric_format

#: By number: name of the row, factor to the displayed unit, decimals. Metrics that are not here: see `get_row`.
ROWS = {
    "val/top5_accuracy": ("val top-5, %", 100, 2),
    "val/ece": ("val ECE, %", 100, 2),
    "test/top5_accuracy": ("test top-5, %", 100, 2),
    "test/ece": ("test ECE, %", 100, 2),
    "best/epoch": ("best epoch", 1, 0),
    "training_seconds": ("training, s", 1, 1),
    "images_per_second": ("images/s", 1, 0),
    "peak_memory_bytes": ("peak memory, MiB", 2**-20, 0),
    "parameters": ("parameters, M", 1e-6, 2),
    "flops_per_image": ("GFLOPs per image", 1e-9, 3),
}


def get_row(name: str) -> tuple[str, float, int]:
    """Name of the row, factor to the displayed unit, and decimals, of any number; own metrics have their own name."""
    if name in ROWS:
        return ROWS[name]
    split, _, metric = name.partition("/")
    unit = get_metric_format(name)
    return unit.title(f"{split} {METRIC_WORDS.get(metric, metric)}"), unit.factor, unit.decimals


def build_run_table(comparison: RunComparison) -> Table:
    """The runs behind the name of each group."""
    columns: Columns = {
        "": lambda group: group.name,
        "Runs": lambda group: Code(format_directories(group)),
        "Seeds": lambda group: ", ".join(map(str, group.seeds)),
        "Status": lambda group: join_with_and(list(dict.fromkeys(map(format_status, group.runs)))),
    }
    return Table.of(comparison.groups, columns, columns)


def format_directories(group: SeedGroup) -> str:
    """One path; several in one folder as `parent/{0,2}`, and of longer names `parent/{a, b}`, to break between them."""
    paths = [Path(run.name) for run in group.runs]
    if len(paths) > 1 and len({path.parent for path in paths}) == 1:
        comma = "," if all(path.name.isdecimal() for path in paths) else ", "
        return f"{paths[0].parent}/{{{comma.join(path.name for path in paths)}}}"
    return ", ".join(map(str, paths))


def format_status(run: SavedRun) -> str:
    return "evaluation" if run.is_evaluation and run.is_complete else run.status.replace("_", " ")


def build_pair_table(comparison: RunComparison) -> Table:
    columns: Columns = {
        "Pair": lambda each: f"{each.second} − {each.first}",
        "Points": lambda each: SHARE_FORMAT.difference(each.images.mean if each.images else None),
        "95 %: images": lambda each: format_interval(SHARE_FORMAT, each.images),
        "95 %: seeds": lambda each: format_interval(SHARE_FORMAT, each.seeds),
        "95 %: both": lambda each: format_interval(SHARE_FORMAT, each.both),
        "Won : lost": lambda each: f"{each.mcnemar.won} : {each.mcnemar.lost}" if each.mcnemar else UNKNOWN,
        "McNemar p": lambda each: format_p_value(each.mcnemar.p_value if each.mcnemar else None),
        "Remark": lambda each: each.remark,
    }
    return Table.of(comparison.pairs, columns, ["Remark"])


def name_accuracy(part: str) -> str:
    """`test accuracy`; of all parts, `accuracy on all images`."""
    return "accuracy on all images" if part == "all" else f"{part} accuracy"


def explain_pair_table(table: Table, part: str) -> str:
    """What the columns of the table are that it has. part: that of the data whose accuracies are compared."""
    names = table.drop_empty_columns().names
    kinds = [kind for kind in ("images", "seeds") if f"95 %: {kind}" in names]
    paired = f", paired by {' and by '.join(kind.rstrip('s') for kind in kinds)}" if kinds else ""
    words = [f"{name_accuracy(part).capitalize()}{paired}."]
    if "Won : lost" in names:
        words.append("Won : lost counts images that only one of the two classifies correctly.")
    if "95 %: both" in names:
        words.append("Intervals: other images like these for the same networks; other seeds on these images; both.")
    if len(table.rows) > 1 and kinds:
        words.append("The intervals are not corrected for multiple comparisons.")
    return " ".join(words)


def describe_unscored_classes(comparison: RunComparison) -> str:
    """Classes of which no image was scored, by group: `A, B: no image of cat; …`; "" where there are none."""
    found: dict[tuple[str, ...], list[str]] = {}
    for group in comparison.groups:
        accuracies = group.first.result.get("per_class_accuracy") or {}
        if absent := tuple(name for name, share in accuracies.items() if share is None):
            found.setdefault(absent, []).append(group.name)
    parts = [f"{', '.join(groups)}: no image of {join_first(names, 3)}" for names, groups in found.items()]
    return f" {'; '.join(parts)}, so macro scores are means over the other classes." if parts else ""


def explain_results_table(comparison: RunComparison, table: Table) -> str:
    """What the marks in the cells of the table are that it has, and which classes its scores say nothing of."""
    cells = [cell for row in table.rows for cell in row[1:]]
    marks = {
        "± of several seeds: their standard deviation.": any(" ± " in cell for cell in cells),
        "In parentheses: the 95 % interval of one run over images.": any(
            re.search(r" \(\S+ to \S+\)$", cell) for cell in cells
        ),
        "Bold: the best value, which alone is no evidence.": any(isinstance(cell, Strong) for cell in cells),
    }
    explained = " ".join(words for words, is_there in marks.items() if is_there)
    return (explained + describe_unscored_classes(comparison)).strip()


def build_results_table(comparison: RunComparison) -> Table:
    """Slots and values that differ, scores and costs; one column per group."""
    rows = [
        [Code(name), *(format_yaml_value(part, none=UNKNOWN) for part in found)]
        for name, found in (*comparison.choices.items(), *comparison.values.items())
    ]
    rows += [
        [
            get_row(name)[0],
            *(
                (Strong if at in comparison.best.get(name, ()) else str)(format_mean_and_spread(name, value))
                for at, value in enumerate(values)
            ),
        ]
        for name, values in (*comparison.metrics.items(), *comparison.costs.items())
    ]
    return Table(["", *(group.name for group in comparison.groups)], rows)


def format_mean_and_spread(name: str, value: Value | None) -> str:
    """`83.87 ± 1.29` over seeds, no spread of zero; `83.87 (81.18 to 86.25)` over images."""
    if value is None:
        return UNKNOWN
    _, factor, decimals = get_row(name)
    mean = f"{value.mean * factor:,.{decimals}f}"
    if value.interval is not None:
        low, high = (f"{end * factor:,.{decimals}f}" for end in value.interval)
        return f"{mean} ({low} to {high})"
    decimals = 1 if name == "best/epoch" else decimals
    return f"{mean} ± {value.sd * factor:,.{decimals}f}" if value.sd else mean
