"""The figures of a study that show its effects: forest plots and the ladder. Imports Altair."""

from collections.abc import Sequence

from sota_exp.report.drawing.chart import BLUE, GREY, RED, TEXT, Figure
from sota_exp.report.drawing.forest_and_waterfall import EffectRow, draw_forest_plot, draw_waterfall
from sota_exp.report.study.study import DesignEffect, StudyArm, StudyResult
from sota_exp.statistics.units import SHARE_FORMAT, MetricFormat
from sota_exp.statistics.verdict import SHOWN

#: Inks of verdicts; grey for others.
INKS = {"helps": BLUE, "hurts": RED, "helps here": BLUE, "hurts here": RED, "failed": RED}

#: Most rows of a chart; with more arms, the largest differences are drawn.
MOST_ROWS = 60


def select_clearest(arms: Sequence[StudyArm], most: int) -> list[StudyArm]:
    """At most `most` arms: those with the largest differences, in their own order."""
    kept = sorted(arms, key=lambda arm: -abs(arm.difference or 0))[:most]
    return [arm for arm in arms if arm in kept]


def build_ladder_figure(study: StudyResult) -> Figure | None:
    """Waterfall chart of a ladder; None for another study."""
    if not study.is_chain:
        return None
    steps = [build_step(study, arm) for arm in study.arms[:MOST_ROWS]]
    return Figure(
        name="ladder",
        alt=f"Waterfall of {len(steps)} steps: " + "; ".join(f"{step.label} {step.word}" for step in steps),
        draw=lambda width: draw_waterfall(steps, study.scale, study.scale.title(study.metric_name), width),
    )


def build_step(study: StudyResult, arm: StudyArm) -> EffectRow:
    scale, reference = study.scale, study.arm(arm.reference)
    before = None if reference is None else reference.mean
    word = scale.format_with_unit(arm.mean) if before is None else scale.difference(arm.difference)
    return EffectRow(
        label=arm.label,
        before=before,
        mean=arm.mean,
        interval=arm.headline,
        word=word if arm.mean is not None else arm.verdict,
        ink=INKS.get(arm.verdict, GREY) if reference is not None else TEXT,
        is_hollow=False,
    )


def build_effects_figure(study: StudyResult) -> Figure | None:
    """Forest plot of the differences of all arms."""
    rows = [build_row(arm.label, arm, study.scale) for arm in select_clearest(study.compared, MOST_ROWS)]
    return build_forest_figure("effects", rows, study.scale, f"difference of {study.metric_name.lower()}")


def build_row(label: str, found: StudyArm | DesignEffect, scale: MetricFormat) -> EffectRow:
    mean = found.difference
    return EffectRow(
        label=label,
        mean=mean,
        interval=found.headline,
        word=found.verdict if mean is None else f"{scale.difference(mean)}  {found.verdict}",
        ink=INKS.get(found.verdict, GREY),
        is_hollow=found.verdict not in SHOWN,
    )


def build_forest_figure(name: str, rows: Sequence[EffectRow], scale: MetricFormat, title: str) -> Figure | None:
    """A forest plot; None without rows. title: that of its axis, to which the unit is added."""
    if not rows:
        return None
    title += ", percentage points" if scale is SHARE_FORMAT else ""
    alt = "Forest plot: " + "; ".join(f"{row.label} {row.word}" for row in rows)
    return Figure(name=name, alt=alt, draw=lambda width: draw_forest_plot(rows, scale, title, width))


def build_design_figure(study: StudyResult, name: str, effects: Sequence[DesignEffect]) -> Figure | None:
    """Forest plot of main effects or interactions of a design, the largest first."""
    largest = sorted(effects, key=lambda each: -abs(each.estimate or 0))[:MOST_ROWS]
    rows = [build_row(each.name, each, study.scale) for each in largest]
    return build_forest_figure(name, rows, study.scale, f"difference of {study.metric_name.lower()}")
