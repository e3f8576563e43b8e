"""The reliability diagram of stored predictions: accuracy by confidence, a ring per bin of confidence."""

from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from sota_exp.report.drawing.chart import BLUE, MUTED, PAPER, build_data
from sota_exp.report.numbers import format_accuracy, format_percent
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.runs.scored_images import get_independent_images
from sota_exp.statistics.proportion import wilson_interval

#: Bins of a reliability diagram, as for the calibration error.
NUM_BINS = 15


def bin_by_confidence(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The bins with images, of arrays [N]: their number and share (weight), mean confidence, share that is correct."""
    index = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    num, sure, right = (np.bincount(index, weights, NUM_BINS) for weights in (None, confidence, correct))
    return [
        {"images": int(num[at]), "weight": num[at] / len(index)}
        | {"confidence": sure[at] / num[at], "correct": right[at] / num[at]}
        for at in np.flatnonzero(num).tolist()
    ]


def compute_confidence(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(softmax probability of the predicted class [N], whether it is correct [N]) of logits [N, C] and labels [N]."""
    # Older versions stored half precision, in which the logits of a network that nearly diverged are infinite.
    scores = np.nan_to_num(logits.astype(np.float64), posinf=1e5, neginf=-1e5)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares.max(axis=1), scores.argmax(axis=1) == labels


def draw_reliability(run: RunFigureData, width: float) -> alt.LayerChart:
    """Accuracy by confidence on the part that was scored last, with 95 % intervals; the area of a ring: its images."""
    side, rows = min(width - 60, 400), []
    independent = get_independent_images(run.result, run.part) / run.result["evaluated_images"][run.part]
    for each in bin_by_confidence(*compute_confidence(run.logits, run.labels)):
        low, high = wilson_interval(each["correct"], max(1.0, independent * each["images"]))
        sure, right, weight = (format_percent(each[name]) for name in ("confidence", "correct", "weight"))
        tip = f"confidence {sure}: {right} right, {weight} of images"
        rows.append(each | {"low": low, "high": high, "tip": tip})
    percent = {"values": [0, 0.5, 1], "labelExpr": "100 * datum.value", "grid": True}
    unit = alt.Scale(domain=[-0.05, 1.06], nice=False)
    y = {"scale": unit, "axis": alt.Axis(title="", **percent)}
    base = alt.Chart().encode(alt.X("confidence:Q", scale=unit, axis=alt.Axis(title="confidence, %", **percent)))
    rings = base.mark_point(color=BLUE, strokeWidth=1.8, fill=PAPER, opacity=1, aria=True).encode(
        alt.Y("correct:Q", **y),
        alt.Size("weight:Q", scale=alt.Scale(domain=[0, 1], range=[10, 1600]), legend=None),
        alt.Description("tip:N"),
    )
    intervals = base.mark_rule(color=BLUE, strokeWidth=1.4).encode(alt.Y("low:Q", **y), alt.Y2("high"))
    diagonal = alt.Chart(build_data([{}])).mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=1.2)
    diagonal = diagonal.encode(alt.XDatum(0), alt.YDatum(0), alt.X2Datum(1), alt.Y2Datum(1))
    drawn = alt.layer(diagonal, intervals, rings, data=build_data(rows))
    title = f"calibration error {format_accuracy(run.result['metrics'][f'{run.part}/ece'])}"
    return drawn.properties(width=side, height=side, title=title)
