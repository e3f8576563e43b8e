"""The figures of a study that show its runs: learning curves and cost. Imports Altair."""

from sota_exp.report.drawing.chart import GREY, PURPLE, TEXT, Figure
from sota_exp.report.drawing.cost_scatter import draw_cost_scatter
from sota_exp.report.drawing.curves import CurveLine, draw_curve_panels
from sota_exp.report.numbers import choose_time_unit
from sota_exp.report.study.effect_figures import INKS, MOST_ROWS, select_clearest
from sota_exp.report.study.runs import read_learning_curve
from sota_exp.report.study.study import StudyResult
from sota_exp.report.study.tables import format_arm_number

#: Most panels of curves; with more arms, the largest differences are drawn.
MOST_PANELS = 24


def build_study_curves_figure(study: StudyResult) -> Figure | None:
    """Each arm against its reference by epoch; all panels have the same vertical range.

    None for a design: its cells differ in many techniques at once, so that their curves say nothing.
    """
    key = study.metric.replace("test/", "val/")
    arms = [] if study.effects else select_clearest(study.compared or study.arms, MOST_PANELS)
    needed = {name for arm in arms for name in (arm.reference, arm.name)}
    found = {arm.name: read_learning_curve(study.places(arm), key) for arm in study.arms if arm.name in needed}
    shown = [arm for arm in arms if found[arm.name] is not None]
    lines = [
        CurveLine(curve=curve, ink=ink, dash=dash, panel=format_arm_number(study, arm))
        for arm in shown
        for name, ink, dash in ((arm.reference, GREY, (4, 3)), (arm.name, INKS.get(arm.verdict, PURPLE), ()))
        if (curve := found.get(name or "")) is not None
    ]
    if not lines:
        return None
    return Figure(
        name="learning_curves",
        alt="Learning curves of " + "; ".join(arm.label for arm in shown),
        draw=lambda width: draw_curve_panels(lines, study.scale, width),
    )


def build_cost_figure(study: StudyResult) -> Figure | None:
    scale = study.scale
    unit, seconds = choose_time_unit(max((arm.cost.seconds or 0 for arm in study.arms), default=0))
    points = [
        {
            "number": study.arm_numbers[arm.name],
            "tip": f"{arm.label} {scale.format_with_unit(arm.mean)}",
            "time": arm.cost.seconds / seconds,
            "score": scale.factor * arm.mean,
            "low": scale.factor * scale.spread(arm.mean, arm.sd)[0],
            "high": scale.factor * scale.spread(arm.mean, arm.sd)[1],
            "ink": INKS.get(arm.verdict, GREY) if arm.reference else TEXT,
        }
        for arm in select_clearest(study.arms, MOST_ROWS)
        if arm.cost.seconds and arm.mean is not None
    ]
    if len(points) < 2 or study.effects:
        return None
    titles = f"training time of one run, {unit}", scale.title(study.metric_name)
    return Figure(
        name="accuracy_against_cost",
        alt="Score against training time: " + "; ".join(str(point["tip"]) for point in points),
        draw=lambda width: draw_cost_scatter(points, titles, (width - 70, 230 + width / 8)),
    )
