"""A comparison of runs as an HTML page in the style of a study's report."""

from pathlib import Path

from sota_exp.errors import RunFailed
from sota_exp.report.comparison.compute import Comparison
from sota_exp.report.comparison.groups import Group
from sota_exp.report.comparison.pairs import Pair
from sota_exp.report.comparison.tables import build_pair_table, build_results_table
from sota_exp.report.document import html
from sota_exp.report.document.document import (
    Block,
    Cell,
    Document,
    Figure,
    Listing,
    Paragraph,
    Span,
    Table,
    build_table,
    cell,
    code,
    emphasis,
    paragraph,
    phrase,
    section,
    strong,
)
from sota_exp.report.drawing.charts import curves, forest
from sota_exp.report.numbers import count, interval, listed
from sota_exp.report.study.figures import both, build_forest_figure
from sota_exp.report.study.runs import epochs, over_seeds
from sota_exp.runs.atomic import replace_text
from sota_exp.statistics.units import SHARE

#: Ink and dash of the curve of each group; further groups have no curve.
STYLES = (("blue", ""), ("orange", "6 3"), ("green", "2 2"), ("purple", "8 3 2 3"), ("red", "4 2"), ("grey", "1 2"))


def write(comparison: Comparison, path: Path) -> None:
    """Write the page as one file.

    Raises:
        RunFailed: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, html.write(build_document(comparison)))
    except OSError as error:
        raise RunFailed(f"{path} cannot be written: {error}") from error


def build_document(comparison: Comparison) -> Document:
    num = sum(len(group.runs) for group in comparison.groups)
    sections = [
        section("Paired differences", "sure", build_difference_figure(comparison), build_pair_table(comparison)),
        section("Differences and results", "results", build_results_table(comparison)),
        section("Learning curves", "curves", build_learning_curves_figure(comparison)),
        section("Notes", "notes", build_notes(comparison)),
        section("Runs", "runs", build_legend(comparison)),
    ]
    return Document(
        title=f"Comparison of {count(num, 'run')}",
        facts=[count(len(comparison.groups), "configuration"), count(num, "run")],
        answer=build_answer(comparison),
        sections=sections,
        colophon=["Made by ", code("sota-exp compare"), " from the files of the runs. Percent and percentage points."],
    ).numbered()


def build_answer(comparison: Comparison) -> list[Block]:
    """One sentence per pair (at most six), then what differs."""
    options = [f"{slot} ({', '.join(map(str, found))})" for slot, found in comparison.choices.items()]
    keys = list(comparison.values)
    differing = listed([*options, *keys][:8]) + (" and more" if len(options) + len(keys) > 8 else "")
    found: list[Block] = [Paragraph(words=describe_pair(each), tone="lead") for each in comparison.pairs[:6]]
    what = (
        paragraph("They differ in ", emphasis(differing), ".")
        if differing
        else paragraph("No choice and no value differs.")
    )
    return [*found, what]


def describe_pair(each: Pair) -> list[Span | str]:
    """`B is more accurate than A: +1.24 points …`, or that the two cannot be distinguished."""
    if each.images is None:
        return [strong(f"{each.second} and {each.first}"), f" cannot be compared: {each.remark}."]
    low, high = (each.seeds or each.images).low, (each.seeds or each.images).high
    noise = "seeds" if each.seeds else "test images alone"
    span = interval(SHARE, each.seeds or each.images)
    reach = f"{SHARE.difference_with_unit(each.images.mean)} of test accuracy, 95 % interval over {noise} {span}"
    if low <= 0 <= high:
        return [strong(f"{each.second} cannot be distinguished from {each.first}"), f": {reach}."]
    word = "more" if low > 0 else "less"
    doubt = "" if each.seeds else " Whether this holds for other seeds is not known."
    return [strong(f"{each.second} is {word} accurate than {each.first}"), f": {reach}.{doubt}"]


def build_difference_figure(comparison: Comparison) -> Figure | None:
    pairs = [each for each in comparison.pairs if each.images is not None]
    if not pairs:
        return None
    rows = [
        forest.Row(
            label=f"{each.second} − {each.first}",
            mean=each.images.mean if each.images else None,
            interval=each.seeds,
            second=each.images,
            word=SHARE.difference(each.images.mean if each.images else None),
        )
        for each in pairs
    ]
    caption = (
        "Differences of test accuracy. Solid: 95 % interval over seeds, if two or more are common; "
        "dashed, orange: over test images."
    )
    return build_forest_figure("differences", rows, SHARE, "difference of test accuracy", caption)


def build_learning_curves_figure(comparison: Comparison) -> Figure | None:
    """Validation accuracy by epoch of every group, in one plot."""
    groups = comparison.groups[: len(STYLES)]
    found = [(group, over_seeds(read_curves(group))) for group in groups]
    lines = [
        curves.Line(curve=curve, ink=ink, dash=dash)
        for (_, curve), (ink, dash) in zip(found, STYLES, strict=False)
        if curve is not None
    ]
    if not lines:
        return None
    axis = curves.range_of([line.curve for line in lines])
    names = [
        f"{group.name} {ink}" for (group, curve), (ink, _) in zip(found, STYLES, strict=False) if curve is not None
    ]
    caption = (
        f"Validation accuracy, %, by epoch, means over seeds with a band of one standard deviation: {', '.join(names)}."
    )
    panels = both(lambda width: curves.draw(lines, SHARE, "epoch", (width, 280), caption, axis))
    return Figure(name="learning_curves", caption=[caption], panels=panels)


def read_curves(group: Group) -> list[dict[float, float]]:
    found = [epochs(run.directory / "metrics.jsonl", "val/accuracy") for run in group.runs]
    return [points for points in found if points]


def build_notes(comparison: Comparison) -> Listing | None:
    items = [phrase(note) for note in comparison.notes]
    items += [
        phrase(strong(key), f" differs between runs: {listed(list(dict.fromkeys(values)))}")
        for key, values in comparison.environment.items()
    ]
    return Listing(items=items) if items else None


def build_legend(comparison: Comparison) -> Table:
    rows = [
        [
            cell(group.name),
            Cell(words=[code(", ".join(run.name for run in group.runs))]),
            cell(", ".join(map(str, group.seeds))),
            cell(listed(list(dict.fromkeys(run.status for run in group.runs)))),
        ]
        for group in comparison.groups
    ]
    names = ["", "Runs", "Seeds", "Status"]
    return build_table("The runs behind each letter.", names, rows, names)
