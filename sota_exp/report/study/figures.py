"""The figures of a study's report: the numbers of each chart and its caption. Importing it imports Altair."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sota_exp.report.document.document import DocumentFigure
from sota_exp.report.drawing.chart import BLUE, GREEN, GREY, PURPLE, RED, TEXT
from sota_exp.report.drawing.curves import CurveLine, draw_curve_panels
from sota_exp.report.drawing.effects import EffectRow, draw_forest_plot, draw_waterfall
from sota_exp.report.drawing.matrix import draw_difference_matrix
from sota_exp.report.drawing.points import draw_cost_scatter, draw_reliability_panels
from sota_exp.report.numbers import choose_time_unit, format_interval
from sota_exp.report.study.runs import (
    compute_reliability,
    has_resolution_search,
    read_inference_sizes,
    read_learning_curve,
)
from sota_exp.report.study.study import DesignEffect, StudyArm, StudyResult
from sota_exp.report.study.tables import format_arm_number
from sota_exp.report.study.terms import format_percent, get_metric_name, get_study_wording
from sota_exp.statistics.units import SHARE_FORMAT, MetricFormat, get_metric_format

#: Inks of verdicts; grey for others.
INKS = {"helps": BLUE, "hurts": RED, "failed": RED}

#: Most rows of a forest plot, and most panels of curves; with more arms, the largest differences are drawn.
MOST_ROWS, MOST_PANELS = 60, 24


def get_ink(verdict: str) -> str:
    return INKS.get(verdict, GREY)


def select_clearest(arms: Sequence[StudyArm], most: int) -> list[StudyArm]:
    """At most `most` arms: those with the largest differences, in their own order."""
    kept = sorted(arms, key=lambda arm: -abs(arm.difference or 0))[:most]
    names = {arm.name for arm in kept}
    return [arm for arm in arms if arm.name in names]


def describe_selection(shown: int, num: int) -> str:
    return f" The {shown} largest of {num:,}; all are in the table." if shown < num else ""


def build_ladder_figure(study: StudyResult) -> DocumentFigure:
    """Waterfall chart of a ladder."""
    scale = get_metric_format(study.metric)
    arms = study.arms[:MOST_ROWS]
    steps = [build_step(study, arm, scale) for arm in arms]
    unit = f", {scale.unit}" if scale.unit else ""
    caption = (
        f"The ladder. A bar goes from the {get_metric_name(study).lower()} before a step to the value after it; the "
        f"whisker is the {format_percent(study.level)} interval of the step over paired seeds. Blue: helps; "
        "orange-red: hurts; grey: cannot be distinguished."
    )
    return DocumentFigure(
        name="ladder",
        caption=caption,
        alt=f"Waterfall of {len(arms)} steps: " + "; ".join(f"{step.label} {step.word}" for step in steps),
        draw=lambda width: draw_waterfall(steps, scale, f"{get_metric_name(study)}{unit}", width),
    )


def build_step(study: StudyResult, arm: StudyArm, scale: MetricFormat) -> EffectRow:
    reference = study.arm(arm.reference)
    before = None if reference is None else reference.mean
    word = scale.format_with_unit(arm.mean) if before is None else scale.difference(arm.difference)
    return EffectRow(
        label=arm.label,
        before=before,
        mean=arm.mean,
        interval=arm.interval,
        word=word if arm.mean is not None else arm.verdict,
        ink=get_ink(arm.verdict) if reference is not None else TEXT,
        is_hollow=False,
    )


def build_effects_figure(study: StudyResult) -> DocumentFigure:
    """Forest plot of the differences of all arms."""
    scale = get_metric_format(study.metric)
    arms = select_clearest(study.compared, MOST_ROWS)
    rows = [build_row(arm.label, arm.difference, arm, scale) for arm in arms]
    noun = "arm beside the design" if study.effects else get_study_wording(study).noun
    caption = (
        f"Effect of each {noun} on {get_metric_name(study).lower()}, with its {format_percent(study.level)} interval "
        "over paired seeds. Filled discs are decided by the joint test over all arms, rings are not; an arrow head "
        f"means that the interval continues outside the plot.{describe_selection(len(arms), len(study.compared))}"
    )
    return build_forest_figure("effects", rows, scale, f"difference of {get_metric_name(study).lower()}", caption)


def build_row(label: str, mean: float | None, found: StudyArm | DesignEffect, scale: MetricFormat) -> EffectRow:
    return EffectRow(
        label=label,
        mean=mean,
        interval=found.interval,
        word=found.verdict if mean is None else f"{scale.difference(mean)}  {found.verdict}",
        ink=get_ink(found.verdict),
        is_hollow=found.verdict not in ("helps", "hurts"),
    )


def build_forest_figure(
    name: str, rows: Sequence[EffectRow], scale: MetricFormat, title: str, caption: str
) -> DocumentFigure:
    """A forest plot; `title` is that of its axis, to which the unit is added."""
    title += ", percentage points" if scale is SHARE_FORMAT else ""
    alt = "Forest plot: " + "; ".join(f"{row.label} {row.word}" for row in rows)
    return DocumentFigure(
        name=name, caption=caption, alt=alt, draw=lambda width: draw_forest_plot(rows, scale, title, width)
    )


def build_main_effects_figure(study: StudyResult) -> DocumentFigure:
    """Forest plot of the effects of a design."""
    scale = get_metric_format(study.metric)
    largest = sorted(study.effects, key=lambda each: -abs(each.estimate or 0))[:MOST_ROWS]
    rows = [build_row(each.name, each.estimate, each, scale) for each in largest]
    caption = (
        f"Main effects on {get_metric_name(study).lower()}, the largest first, with {format_percent(study.level)} "
        "intervals."
    )
    return build_forest_figure("main_effects", rows, scale, f"difference of {get_metric_name(study).lower()}", caption)


def build_noise_figure(study: StudyResult) -> DocumentFigure | None:
    """Forest plot with two intervals per arm: over seeds and over test images."""
    scale = get_metric_format(study.metric)
    arms = [arm for arm in select_clearest(study.compared, MOST_ROWS) if arm.examples is not None]
    if not arms:
        return None
    rows = [
        EffectRow(
            label=arm.label,
            word=scale.difference(arm.difference),
            mean=arm.difference,
            interval=arm.interval,
            second=arm.examples.interval if arm.examples else None,
            is_hollow=arm.verdict not in ("helps", "hurts"),
        )
        for arm in arms
    ]
    caption = (
        f"Solid: {format_percent(study.level)} interval over seeds, the noise of training again. Dashed, orange: over "
        "test images, the noise of a finite test set. If the dashed one is longer, more test images would help, "
        "more seeds would not."
    )
    return build_forest_figure("two_noises", rows, scale, f"difference of {get_metric_name(study).lower()}", caption)


def build_study_curves_figure(study: StudyResult) -> DocumentFigure | None:
    """Each arm against its reference by epoch; all panels have the same vertical range."""
    key = study.metric.replace("test/", "val/")
    arms = select_clearest(study.compared or study.arms, MOST_PANELS)
    needed = dict.fromkeys(name for arm in arms for name in (arm.reference, arm.name) if name)
    found = {name: read_learning_curve(study, arm, key) for name in needed if (arm := study.arm(name)) is not None}
    shown = [arm for arm in arms if found[arm.name] is not None]
    lines = [
        CurveLine(curve=curve, ink=ink, dash=dash, panel=format_arm_number(study, arm))
        for arm in shown
        for name, ink, dash in ((arm.reference, GREY, (4, 3)), (arm.name, INKS.get(arm.verdict, PURPLE), ()))
        if name and (curve := found.get(name)) is not None
    ]
    if not lines:
        return None
    name = get_metric_name(study).replace("Test", "validation").lower()
    caption = (
        f"Learning curves: {name}{', %,' if study.is_share else ''} by epoch, mean over seeds with a band of one "
        "standard deviation. Coloured: the arm; grey, dashed: its "
        f"reference.{describe_selection(len(shown), len(study.compared or study.arms))}"
    )
    return DocumentFigure(
        name="learning_curves",
        caption=caption,
        alt="Learning curves of " + "; ".join(arm.label for arm in shown),
        draw=lambda width: draw_curve_panels(lines, get_metric_format(study.metric), "epoch", 165, width),
    )


def build_cost_figure(study: StudyResult) -> DocumentFigure | None:
    scale = get_metric_format(study.metric)
    unit, seconds = choose_time_unit(max((arm.cost.seconds or 0 for arm in study.arms), default=0))
    points = [
        {
            "number": study.arm_numbers[arm.name],
            "tip": f"{arm.label} {scale.format_with_unit(arm.mean)}",
            "time": arm.cost.seconds / seconds,
            "score": scale.factor * arm.mean,
            "low": scale.factor * (arm.mean - (arm.sd or 0)),
            "high": scale.factor * (arm.mean + (arm.sd or 0)),
            "ink": get_ink(arm.verdict) if arm.reference else TEXT,
        }
        for arm in select_clearest(study.arms, MOST_ROWS)
        if arm.cost.seconds and arm.mean is not None
    ]
    if len(points) < 2 or study.effects:
        return None
    titles = f"training time of one run, {unit}", get_metric_name(study) + (f", {scale.unit}" if scale.unit else "")
    caption = (
        f"{get_metric_name(study)} against the time of one training; numbers as in the table, bars of one standard "
        "deviation over seeds. The grey line is the Pareto front: it ignores the noise and is no "
        f"verdict.{describe_selection(len(points), len(study.arms))}"
    )
    return DocumentFigure(
        name="accuracy_against_cost",
        caption=caption,
        alt="Score against training time: " + "; ".join(str(point["tip"]) for point in points),
        draw=lambda width: draw_cost_scatter(points, titles, (width - 70, 230 + width / 8)),
    )


def build_resolution_figure(study: StudyResult) -> DocumentFigure | None:
    """Accuracy on val by inference size, for arms with a resolution search."""
    searching = [arm for arm in study.arms if has_resolution_search(study, arm)][:MOST_PANELS]
    found = {arm.name: sizes for arm in searching if (sizes := read_inference_sizes(study, arm)) is not None}
    shown = [(arm, found[arm.name]) for arm in searching if arm.name in found]
    if not shown:
        return None
    lines = [
        CurveLine(
            curve=sizes.curve,
            ink=GREEN,
            marks={float(size): 2.5 + 4 * num / sizes.curve.n for size, num in sizes.chosen.items()},
            panel=format_arm_number(study, arm),
        )
        for arm, sizes in shown
    ]
    chosen = [
        f"{arm.label} " + ", ".join(f"{size} px by {num}" for size, num in each.chosen.items()) for arm, each in shown
    ]
    caption = (
        "Validation accuracy, %, by inference size, mean over seeds with a band of one standard deviation. "
        "Discs: sizes that were chosen, larger if more seeds chose them."
    )
    return DocumentFigure(
        name="resolution",
        caption=caption,
        alt=f"Validation accuracy by inference size; chosen: {'; '.join(chosen)}",
        draw=lambda width: draw_curve_panels(lines, SHARE_FORMAT, "inference size, px", 210, width),
    )


def build_interactions_figure(study: StudyResult) -> DocumentFigure | None:
    """The lower triangle: rows are all factors but the first, columns all but the last."""
    pairs = {frozenset(each.labels): each for each in study.interactions if len(each.labels) == 2}
    factors = list(dict.fromkeys(name for each in pairs.values() for name in each.labels))
    if not 2 <= len(factors) <= 24:
        return None
    scale = get_metric_format(study.metric)
    sign = 1 if study.higher_is_better else -1
    cells = [
        describe_cell(first, second, pairs.get(frozenset((first, second))), scale, sign)
        for index, second in enumerate(factors)
        for first in factors[:index]
    ]
    unit = ", percentage points" if study.is_share else ""
    caption = (
        f"Interactions on {get_metric_name(study).lower()}{unit}: the effect of two techniques together minus the "
        "sum of their effects. Blue: they help more together; orange-red: they help less together; framed if the "
        f"{format_percent(study.level)} interval excludes zero."
    )
    return DocumentFigure(
        name="interactions",
        caption=caption,
        alt="Interaction matrix: "
        + "; ".join(f"{each.name} {scale.difference(each.estimate)}" for each in pairs.values()),
        draw=lambda width: draw_difference_matrix(cells, factors[1:], factors[:-1], width),
    )


def describe_cell(column: str, row: str, found: DesignEffect | None, scale: MetricFormat, sign: int) -> dict[str, Any]:
    """The cell of a pair of factors; without text if the pair was not measured."""
    if found is None or found.estimate is None:
        return {"row": row, "column": column, "gain": None, "text": "", "is_clear": False, "tip": ""}
    return {
        "row": row,
        "column": column,
        "gain": sign * found.estimate,
        "text": scale.difference(found.estimate),
        "is_clear": found.interval is not None and found.interval.excludes_zero,
        "tip": f"{found.name}: {scale.difference(found.estimate)}, interval {format_interval(scale, found.interval)}",
    }


def build_reliability_figure(study: StudyResult) -> DocumentFigure | None:
    """Reliability of the first arm and of the three arms whose calibration changes most."""
    changed = sorted(study.compared, key=lambda arm: -abs(arm.calibration.difference or 0))[:3]
    kept = {arm.name for arm in (*study.arms[:1], *changed)}
    found = [
        (arm, bins) for arm in study.arms if arm.name in kept and (bins := compute_reliability(study, arm)) is not None
    ]
    points = [
        {
            "panel": format_arm_number(study, arm),
            "ink": PURPLE if arm.reference else GREY,
            "confidence": bins.confidence[index],
            "correct": bins.correct[index],
            "weight": bins.weight[index],
            "tip": f"confidence {bins.confidence[index]:.0%}: {bins.correct[index]:.0%} right, "
            f"{bins.weight[index]:.0%} of images",
        }
        for arm, bins in found
        for index in np.flatnonzero(bins.weight > 0).tolist()
    ]
    if not points:
        return None
    caption = (
        "Reliability on test of the first arm and of those whose calibration changes most: accuracy, %, by "
        "confidence; the area of a ring is its share of the images. Below the diagonal a model is overconfident."
    )
    return DocumentFigure(
        name="reliability",
        caption=caption,
        alt="Reliability on test of " + "; ".join(arm.label for arm, _ in found),
        draw=lambda width: draw_reliability_panels(points, width),
    )
