"""The figure of a study with looks at any time: the evidence of its arms, seed by seed. Imports Altair."""

from sota_exp.report.drawing.chart import Figure
from sota_exp.report.drawing.evidence import draw_evidence
from sota_exp.report.study.effect_figures import MOST_ROWS, get_ink
from sota_exp.report.study.study import StudyResult


def build_evidence_figure(study: StudyResult) -> Figure | None:
    """The arms with the most evidence; None before the first pair of runs, or with looks of another kind."""
    shown = sorted((arm for arm in study.compared if arm.evidence), key=lambda arm: -arm.evidence[-1])[:MOST_ROWS]
    if study.looks is None or not study.looks.threshold or not shown:
        return None
    threshold = study.looks.threshold
    lines = [
        {
            "number": study.arm_numbers[arm.name],
            "label": arm.label,
            "ink": get_ink(arm.verdict),
            "evidence": arm.evidence,
        }
        for arm in shown
    ]
    return Figure(
        name="evidence",
        alt="Evidence by seeds: " + "; ".join(f"{arm.label} {arm.evidence[-1]:.3g}" for arm in shown),
        draw=lambda width: draw_evidence(lines, threshold, width),
    )
