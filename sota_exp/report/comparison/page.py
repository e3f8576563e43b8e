"""A comparison of runs as an HTML page in the style of a study's report."""

from pathlib import Path

from sota_exp.errors import RunFailed
from sota_exp.report.comparison.compare_runs import RunComparison
from sota_exp.report.comparison.groups import SeedGroup
from sota_exp.report.comparison.pairs import GroupDifference
from sota_exp.report.comparison.tables import build_pair_table, build_results_table
from sota_exp.report.document import html
from sota_exp.report.document.document import (
    Block,
    BulletList,
    Document,
    DocumentFigure,
    DocumentTable,
    Paragraph,
    TableCell,
    TextSpan,
    build_table,
    cell,
    code,
    emphasis,
    paragraph,
    rich_text,
    section,
    strong,
)
from sota_exp.report.numbers import format_count, format_interval, join_with_and
from sota_exp.report.study.runs import average_over_seeds, read_metric_by_epoch
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.statistics.units import SHARE_FORMAT

#: Name of the ink and dash of the curve of each group; further groups have no curve.
STYLES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("blue", ()), ("orange", (6, 3)), ("green", (2, 2)), ("purple", (8, 3, 2, 3)), ("red", (4, 2)), ("grey", (1, 2)),
)  # fmt: skip


def write_comparison_page(comparison: RunComparison, path: Path) -> None:
    """Write the page as one file.

    Raises:
        RunFailed: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recomputable_text(path, html.document_to_html(build_document(comparison)))
    except OSError as error:
        raise RunFailed(f"{path} cannot be written: {error}") from error


def build_document(comparison: RunComparison) -> Document:
    num = sum(len(group.runs) for group in comparison.groups)
    sections = [
        section("Paired differences", "sure", build_difference_figure(comparison), build_pair_table(comparison)),
        section("Differences and results", "results", build_results_table(comparison)),
        section("Learning curves", "curves", build_learning_curves_figure(comparison)),
        section("Notes", "notes", build_notes(comparison)),
        section("Runs", "runs", build_legend(comparison)),
    ]
    return Document(
        title=f"Comparison of {format_count(num, 'run')}",
        facts=[format_count(len(comparison.groups), "configuration"), format_count(num, "run")],
        answer=build_answer(comparison),
        sections=sections,
        colophon=["Made by ", code("sota-exp compare"), " from the files of the runs. Percent and percentage points."],
    ).number_blocks()


def build_answer(comparison: RunComparison) -> list[Block]:
    """One sentence per pair (at most six), then what differs."""
    options = [f"{slot} ({', '.join(map(str, found))})" for slot, found in comparison.choices.items()]
    keys = list(comparison.values)
    differing = join_with_and([*options, *keys][:8]) + (" and more" if len(options) + len(keys) > 8 else "")
    found: list[Block] = [Paragraph(words=describe_pair(each), tone="lead") for each in comparison.pairs[:6]]
    what = (
        paragraph("They differ in ", emphasis(differing), ".")
        if differing
        else paragraph("No choice and no value differs.")
    )
    return [*found, what]


def describe_pair(each: GroupDifference) -> list[TextSpan | str]:
    """`B is more accurate than A: +1.24 points …`, or that the two cannot be distinguished."""
    if each.images is None:
        return [strong(f"{each.second} and {each.first}"), f" cannot be compared: {each.remark}."]
    low, high = (each.seeds or each.images).low, (each.seeds or each.images).high
    noise = "seeds" if each.seeds else "test images alone"
    span = format_interval(SHARE_FORMAT, each.seeds or each.images)
    mean = SHARE_FORMAT.format_difference_with_unit(each.images.mean)
    reach = f"{mean} of test accuracy, 95 % interval over {noise} {span}"
    if low <= 0 <= high:
        return [strong(f"{each.second} cannot be distinguished from {each.first}"), f": {reach}."]
    word = "more" if low > 0 else "less"
    doubt = "" if each.seeds else " Whether this holds for other seeds is not known."
    return [strong(f"{each.second} is {word} accurate than {each.first}"), f": {reach}.{doubt}"]


def build_difference_figure(comparison: RunComparison) -> DocumentFigure | None:
    from sota_exp.report.drawing.effects import EffectRow
    from sota_exp.report.study.figures import build_forest_figure

    rows = [
        EffectRow(
            label=f"{each.second} − {each.first}",
            mean=each.images.mean,
            interval=each.seeds,
            second=each.images,
            word=SHARE_FORMAT.difference(each.images.mean),
        )
        for each in comparison.pairs
        if each.images is not None
    ]
    if not rows:
        return None
    caption = (
        "Differences of test accuracy. Solid: 95 % interval over seeds, if two or more are common; "
        "dashed, orange: over test images."
    )
    return build_forest_figure("differences", rows, SHARE_FORMAT, "difference of test accuracy", caption)


def build_learning_curves_figure(comparison: RunComparison) -> DocumentFigure | None:
    """Validation accuracy by epoch of every group, in one plot."""
    from sota_exp.report.drawing.chart import INKS
    from sota_exp.report.drawing.curves import CurveLine, draw_curves

    found = [
        (CurveLine(curve=curve, ink=INKS[ink][0], dash=dash), f"{group.name} {ink}")
        for group, (ink, dash) in zip(comparison.groups, STYLES, strict=False)
        if (curve := average_over_seeds(read_curves(group))) is not None
    ]
    if not found:
        return None
    names = ", ".join(name for _, name in found)
    caption = f"Validation accuracy, %, by epoch, means over seeds with a band of one standard deviation: {names}."
    return DocumentFigure(
        name="learning_curves",
        caption=caption,
        alt=caption,
        draw=lambda width: draw_curves([line for line, _ in found], SHARE_FORMAT, ("epoch", ""), (width - 60, 240)),
    )


def read_curves(group: SeedGroup) -> list[dict[float, float]]:
    found = [read_metric_by_epoch(run.directory / "metrics.jsonl", "val/accuracy") for run in group.runs]
    return [points for points in found if points]


def build_notes(comparison: RunComparison) -> BulletList | None:
    items = [rich_text(note) for note in comparison.notes]
    items += [
        rich_text(strong(key), f" differs between runs: {join_with_and(list(dict.fromkeys(values)))}")
        for key, values in comparison.environment.items()
    ]
    return BulletList(items=items) if items else None


def build_legend(comparison: RunComparison) -> DocumentTable:
    rows = [
        [
            cell(group.name),
            TableCell(words=[code(", ".join(run.name for run in group.runs))]),
            cell(", ".join(map(str, group.seeds))),
            cell(join_with_and(list(dict.fromkeys(run.status for run in group.runs)))),
        ]
        for group in comparison.groups
    ]
    names = ["", "Runs", "Seeds", "Status"]
    return build_table("The runs behind each letter.", names, rows, names)
