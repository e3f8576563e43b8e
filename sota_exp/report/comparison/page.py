"""A comparison of runs as an HTML page in the style of a study's report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sota_exp.config.values import join_first
from sota_exp.errors import RunFailed
from sota_exp.report.comparison import tables
from sota_exp.report.comparison.compare_runs import RunComparison
from sota_exp.report.comparison.pairs import GroupDifference
from sota_exp.report.document.write import render_markdown, render_page
from sota_exp.report.drawing.chart import INKS, Figure
from sota_exp.report.numbers import join_with_and
from sota_exp.report.study.runs import SeedCurve, read_learning_curve
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.statistics.units import SHARE_FORMAT

#: Most groups in the title.
MOST_IN_TITLE = 3

#: Name of the ink and dash of the curve of each group; further groups have no curve.
STYLES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("blue", ()), ("orange", (6, 3)), ("green", (2, 2)), ("purple", (8, 3, 2, 3)), ("red", (4, 2)), ("grey", (1, 2)),
)  # fmt: skip


def write_comparison_page(comparison: RunComparison, path: Path) -> None:
    """Write the page as one file, by the template `comparison.md.jinja`.

    Raises:
        RunFailed: the file cannot be written.
    """
    found = render_markdown("comparison/comparison.md.jinja", **collect_values(comparison))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recomputable_text(path, render_page(found))
    except OSError as error:
        raise RunFailed(f"{path} cannot be written: {error}") from error


def collect_values(comparison: RunComparison) -> dict[str, Any]:
    """What the template shows."""
    options = [f"{slot} ({', '.join(map(str, found))})" for slot, found in comparison.choices.items()]
    keys = [*options, *comparison.values]
    places = {group.name: [run.directory for run in group.runs] for group in comparison.groups}
    curves = {name: read_learning_curve(found, "val/accuracy") for name, found in places.items()}
    return {
        "comparison": comparison,
        "title": f"Comparison of {join_first([group.name for group in comparison.groups], MOST_IN_TITLE)}",
        "num_runs": sum(len(group.runs) for group in comparison.groups),
        "scale": SHARE_FORMAT,
        "noise": describe_noise,
        "differing": join_with_and(keys[:8]) + (" and more" if len(keys) > 8 else ""),
        "differences": build_difference_figure(comparison),
        "accuracy": tables.name_accuracy(comparison.part),
        "tables": tables,
        "noises": {describe_noise(each, comparison.part): None for each in comparison.pairs if each.images},
        "curves": build_learning_curves_figure(curves),
        "has_bands": any(curve is not None and curve.n > 1 for curve in curves.values()),
    }


def build_difference_figure(comparison: RunComparison) -> Figure | None:
    from sota_exp.report.drawing.forest_and_waterfall import EffectRow
    from sota_exp.report.study.effect_figures import build_forest_figure

    rows = [
        EffectRow(
            label=f"{each.second} − {each.first}",
            mean=each.images.mean,
            interval=each.both or each.seeds or each.images,
            word=SHARE_FORMAT.difference(each.images.mean),
        )
        for each in comparison.pairs
        if each.images is not None
    ]
    return build_forest_figure(
        "differences", rows, SHARE_FORMAT, f"difference of {tables.name_accuracy(comparison.part)}"
    )


def describe_noise(found: GroupDifference, part: str) -> str:
    """What the widest known interval of a difference is over."""
    images = "images" if part == "all" else f"{part} images"
    if not found.seeds:
        return f"{images} alone"
    return f"seeds and {images}" if found.both else "seeds alone"


def build_learning_curves_figure(curves: Mapping[str, SeedCurve | None]) -> Figure | None:
    """Validation accuracy by epoch of every group, in one plot."""
    from sota_exp.report.drawing.curves import CurveLine, draw_curves

    found = [
        CurveLine(curve=curve, ink=INKS[ink][0], dash=dash, panel=name)
        for (name, curve), (ink, dash) in zip(curves.items(), STYLES, strict=False)
        if curve is not None
    ]
    if not found:
        return None
    return Figure(
        name="learning_curves",
        alt=f"Validation accuracy by epoch: {', '.join(line.panel for line in found)}",
        draw=lambda width: draw_curves(found, SHARE_FORMAT, (width - 60, 240), has_legend=True),
    )
