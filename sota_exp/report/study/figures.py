"""The figures of a study's report: the numbers of each chart and its caption."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sota_exp.report.document.document import DocumentFigure, FigurePanel
from sota_exp.report.drawing.axis import Axis
from sota_exp.report.drawing.charts import cost, curves, forest, pair_matrix, reliability, waterfall
from sota_exp.report.drawing.drawing import Drawing
from sota_exp.report.numbers import choose_time_unit
from sota_exp.report.study.runs import SeedCurve, has_resolution_search, read_inference_sizes, read_learning_curve
from sota_exp.report.study.runs import compute_reliability as reliability_of
from sota_exp.report.study.study import DesignEffect, StudyArm, StudyResult
from sota_exp.report.study.tables import format_arm_number
from sota_exp.report.study.terms import format_percent, get_metric_name, get_study_wording
from sota_exp.statistics.units import SHARE_FORMAT, MetricFormat, get_metric_format

#: Width of a figure in pixels on a desktop and on a phone.
WIDE, NARROW = 920.0, 340.0

#: Inks of verdicts; grey for others.
INKS = {"helps": "blue", "hurts": "red", "failed": "red"}

#: Most rows of a forest plot, and most panels of curves; with more arms, the largest differences are drawn.
MOST_ROWS, MOST_PANELS = 60, 24


def get_ink(verdict: str) -> str:
    return INKS.get(verdict, "grey")


def draw_both_widths(draw: Callable[[float], Drawing]) -> list[FigurePanel]:
    return [FigurePanel(wide=draw(WIDE), narrow=draw(NARROW))]


def select_clearest(arms: Sequence[StudyArm], most: int) -> list[StudyArm]:
    """At most `most` arms: those with the largest differences, in their own order."""
    if len(arms) <= most:
        return list(arms)
    kept = sorted(arms, key=lambda arm: -abs(arm.difference or 0))[:most]
    names = {arm.name for arm in kept}
    return [arm for arm in arms if arm.name in names]


def describe_selection(shown: int, num: int) -> str:
    return f" The {shown} largest of {num:,}; all are in the table." if shown < num else ""


def build_ladder_figure(study: StudyResult) -> DocumentFigure:
    """Waterfall chart of a ladder."""
    scale = get_metric_format(study.metric)
    arms = study.arms[:MOST_ROWS]
    steps = [build_waterfall_step(study, arm, scale) for arm in arms]
    unit = f", {scale.unit}" if scale.unit else ""
    alt = f"Waterfall of {len(arms)} steps: " + "; ".join(f"{step.label} {step.word}" for step in steps)
    caption = (
        f"The ladder. A bar goes from the {get_metric_name(study).lower()} before a step to the value after it; the "
        f"whisker is the {format_percent(study.level)} interval of the step over paired seeds. Blue: helps; "
        "orange-red: hurts; grey: cannot be distinguished."
    )
    panels = draw_both_widths(
        lambda width: waterfall.draw_waterfall(steps, scale, f"{get_metric_name(study)}{unit}", width, alt)
    )
    return DocumentFigure(name="ladder", caption=[caption], panels=panels)


def build_waterfall_step(study: StudyResult, arm: StudyArm, scale: MetricFormat) -> waterfall.WaterfallStep:
    reference = study.arm(arm.reference)
    before = None if reference is None else reference.mean
    word = scale.format_with_unit(arm.mean) if before is None else scale.difference(arm.difference)
    return waterfall.WaterfallStep(
        label=arm.label,
        before=before,
        after=arm.mean,
        interval=arm.interval,
        word=word if arm.mean is not None else arm.verdict,
        ink=get_ink(arm.verdict) if reference is not None else "text",
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


def build_row(label: str, mean: float | None, found: StudyArm | DesignEffect, scale: MetricFormat) -> forest.ForestRow:
    return forest.ForestRow(
        label=label,
        mean=mean,
        interval=found.interval,
        word=found.verdict if mean is None else f"{scale.difference(mean)}  {found.verdict}",
        ink=get_ink(found.verdict),
        is_hollow=found.verdict not in ("helps", "hurts"),
    )


def build_forest_figure(
    name: str, rows: Sequence[forest.ForestRow], scale: MetricFormat, title: str, caption: str
) -> DocumentFigure:
    """A forest plot; `title` is that of its axis, to which the unit is added."""
    title += ", percentage points" if scale is SHARE_FORMAT else ""
    alt = "Forest plot: " + "; ".join(f"{row.label} {row.word}" for row in rows)
    panels = draw_both_widths(lambda width: forest.draw_forest_plot(rows, scale, title, width, alt))
    return DocumentFigure(name=name, caption=[caption], panels=panels)


def build_factor_effects_figure(
    study: StudyResult, found: Sequence[DesignEffect], name: str, what: str
) -> DocumentFigure:
    """Forest plot of the effects of a design."""
    scale = get_metric_format(study.metric)
    largest = sorted(found, key=lambda each: -abs(each.estimate or 0))[:MOST_ROWS]
    rows = [build_row(each.name, each.estimate, each, scale) for each in largest]
    caption = (
        f"{what} on {get_metric_name(study).lower()}, the largest first, with {format_percent(study.level)} intervals."
    )
    return build_forest_figure(name, rows, scale, f"difference of {get_metric_name(study).lower()}", caption)


def build_noise_figure(study: StudyResult) -> DocumentFigure | None:
    """Forest plot with two intervals per arm: over seeds and over test images."""
    scale = get_metric_format(study.metric)
    arms = [arm for arm in select_clearest(study.compared, MOST_ROWS) if arm.examples is not None]
    if not arms:
        return None
    rows = [
        replace(
            build_row(arm.label, arm.difference, arm, scale),
            second=arm.examples.interval if arm.examples else None,
            word=scale.difference(arm.difference),
            ink="grey",
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
    there = {name: curve for name, curve in found.items() if curve is not None}
    shown = [arm for arm in arms if arm.name in there]
    if not shown:
        return None
    axis = curves.compute_shared_axis(list(there.values()))
    panels = [build_curve_panel(study, arm, there, axis) for arm in shown]
    name = get_metric_name(study).replace("Test", "validation").lower()
    caption = (
        f"Learning curves: {name}{', %,' if study.is_share else ''} by epoch, mean over seeds with a band of one "
        "standard deviation. Coloured: the arm; grey, dashed: its "
        f"reference.{describe_selection(len(shown), len(study.compared or study.arms))}"
    )
    return DocumentFigure(name="learning_curves", caption=[caption], panels=panels)


def build_curve_panel(study: StudyResult, arm: StudyArm, there: dict[str, SeedCurve], axis: Axis) -> FigurePanel:
    lines = [curves.CurveLine(curve=there[arm.reference], ink="grey", dash="4 3")] if arm.reference in there else []
    lines.append(curves.CurveLine(curve=there[arm.name], ink=get_ink(arm.verdict) if arm.verdict in INKS else "purple"))
    alt = f"Learning curve of {arm.label}" + (" against its reference" if len(lines) > 1 else "")
    drawn = curves.draw_curves(lines, get_metric_format(study.metric), "epoch", (205, 150), alt, axis)
    return FigurePanel(wide=drawn, narrow=drawn, title=format_arm_number(study, arm))


def build_cost_figure(study: StudyResult) -> DocumentFigure | None:
    scale = get_metric_format(study.metric)
    unit, seconds = choose_time_unit(max((arm.cost.seconds or 0 for arm in study.arms), default=0))
    points = [
        cost.CostPoint(
            number=study.arm_numbers[arm.name],
            label=arm.label,
            time=arm.cost.seconds / seconds,
            score=arm.mean,
            sd=arm.sd,
            ink=get_ink(arm.verdict) if arm.reference else "text",
        )
        for arm in select_clearest(study.arms, MOST_ROWS)
        if arm.cost.seconds and arm.mean is not None
    ]
    if len(points) < 2 or study.effects:
        return None
    titles = f"training time of one run, {unit}", get_metric_name(study) + (f", {scale.unit}" if scale.unit else "")
    alt = "Score against training time: " + "; ".join(
        f"{each.label} {scale.format_with_unit(each.score)}" for each in points
    )
    caption = (
        f"{get_metric_name(study)} against the time of one training; numbers as in the table, bars of one standard "
        "deviation over seeds. The grey line is the Pareto front: it ignores the noise and is no "
        f"verdict.{describe_selection(len(points), len(study.arms))}"
    )
    sizes = {WIDE: (WIDE, 400.0), NARROW: (NARROW, 300.0)}
    panels = draw_both_widths(lambda width: cost.draw_cost_scatter(points, scale, titles, sizes[width], alt))
    return DocumentFigure(name="accuracy_against_cost", caption=[caption], panels=panels)


def build_resolution_figure(study: StudyResult) -> DocumentFigure | None:
    """Accuracy on val by inference size, for arms with a resolution search."""
    searching = [arm for arm in study.arms if has_resolution_search(study, arm)][:MOST_PANELS]
    found = {arm.name: sizes for arm in searching if (sizes := read_inference_sizes(study, arm)) is not None}
    if not found:
        return None
    axis = curves.compute_shared_axis([each.curve for each in found.values()])
    panels = []
    for arm in (arm for arm in searching if arm.name in found):
        sizes = found[arm.name]
        marks = tuple(
            (float(size), 2.5 + 4 * num / sizes.curve.n) for size, num in sizes.chosen.items() if size in sizes.curve.x
        )
        line = curves.CurveLine(curve=sizes.curve, ink="green", marks=marks)
        chosen = ", ".join(f"{size} px by {num}" for size, num in sizes.chosen.items())
        alt = f"Validation accuracy of {arm.label} by inference size; chosen: {chosen}"
        drawn = curves.draw_curves([line], SHARE_FORMAT, "inference size, px", (260, 180), alt, axis)
        panels.append(FigurePanel(wide=drawn, narrow=drawn, title=format_arm_number(study, arm)))
    caption = (
        "Validation accuracy, %, by inference size, mean over seeds with a band of one standard deviation. "
        "Discs: sizes that were chosen, larger if more seeds chose them."
    )
    return DocumentFigure(name="resolution", caption=[caption], panels=panels)


def build_interactions_figure(study: StudyResult) -> DocumentFigure | None:
    pairs = {(each.labels[0], each.labels[1]): each for each in study.interactions if len(each.labels) == 2}
    factors = list(dict.fromkeys(name for pair in pairs for name in pair))
    if not 2 <= len(factors) <= 24:
        return None
    scale = get_metric_format(study.metric)
    alt = "Interaction matrix: " + "; ".join(
        f"{each.name} {scale.difference(each.estimate)}" for each in pairs.values()
    )
    unit = ", percentage points" if study.is_share else ""
    caption = (
        f"Interactions on {get_metric_name(study).lower()}{unit}: the effect of two techniques together minus the "
        "sum of their effects. Blue: they help more together; orange-red: they help less together; framed if the "
        f"{format_percent(study.level)} interval excludes zero."
    )
    panels = draw_both_widths(
        lambda width: pair_matrix.draw_interaction_matrix(factors, pairs, scale, width, alt, study.higher_is_better)
    )
    return DocumentFigure(name="interactions", caption=[caption], panels=panels)


def build_reliability_figure(study: StudyResult) -> DocumentFigure | None:
    """Reliability of the first arm and of the three arms whose calibration changes most."""
    changed = sorted(study.compared, key=lambda arm: -abs(arm.calibration.difference or 0))[:3]
    kept = {arm.name for arm in (*study.arms[:1], *changed)}
    panels = []
    for arm in (arm for arm in study.arms if arm.name in kept):
        found = reliability_of(study, arm)
        if found is not None:
            alt = f"Reliability of {arm.label} on test"
            drawn = reliability.draw_reliability_diagram(found, "purple" if arm.reference else "grey", 205, alt)
            panels.append(FigurePanel(wide=drawn, narrow=drawn, title=format_arm_number(study, arm)))
    caption = (
        "Reliability on test of the first arm and of those whose calibration changes most: accuracy, %, by "
        "confidence; the area of a ring is its share of the images. Below the diagonal a model is overconfident."
    )
    return DocumentFigure(name="reliability", caption=[caption], panels=panels) if panels else None
