"""The charts of a run by epoch: learning curves and learning rate."""

import math

import altair as alt

from sota_exp.report.drawing.chart import BLUE, GREEN, ORANGE
from sota_exp.report.drawing.curves import CurveLine, draw_curves, split_width
from sota_exp.report.numbers import format_accuracy
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.report.study.runs import average_over_seeds
from sota_exp.runs.result_json import get_saved_epoch
from sota_exp.statistics.units import PLAIN_FORMAT, SHARE_FORMAT, MetricFormat

#: Ink and dash of a curve by its name.
RAW, AVERAGED = "val, raw weights", "val, averaged weights"
CURVES = {"train": (BLUE, ()), "val": (ORANGE, (6, 3)), RAW: (ORANGE, (6, 3)), AVERAGED: (GREEN, ())}


def draw_learning_curves(run: RunFigureData, width: float) -> alt.ConcatChart:
    """Loss on train and val, accuracy on val; of the raw weights and, if there are any, of the averaged weights."""
    columns, side = split_width(width, 380)
    is_averaged = any("val_raw/accuracy" in epoch for epoch in run.epochs)
    keys = {RAW: "val_raw", AVERAGED: "val"} if is_averaged else {"val": "val"}
    epoch, value = get_saved_epoch(run.result), run.result["metrics"]["val/accuracy"]
    loss = draw_epochs(run, {"train": "train/loss"} | {name: f"{key}/loss" for name, key in keys.items()}, side)
    accuracy = draw_epochs(run, {name: f"{key}/accuracy" for name, key in keys.items()}, side, SHARE_FORMAT, epoch)
    title = alt.TitleParams("Accuracy on val, %", subtitle=f"saved weights: {format_accuracy(value)}, epoch {epoch}")
    return alt.concat(
        loss.properties(title=alt.TitleParams("Loss", subtitle="cross-entropy, nats")),
        accuracy.properties(title=title),
        columns=columns,
        spacing=36,
    ).resolve_scale(color="independent")


def draw_epochs(
    run: RunFigureData, keys: dict[str, str], side: float, scale: MetricFormat = PLAIN_FORMAT, saved: int | None = None
) -> alt.LayerChart:
    """Metrics by epoch. keys: the key of each curve. saved: the epoch of the saved weights, with a larger disc."""
    lines = []
    for name, key in keys.items():
        values = {float(at): epoch[key] for at, epoch in enumerate(run.epochs, start=1) if key in epoch}
        curve = average_over_seeds([{at: value for at, value in values.items() if math.isfinite(value)}])
        if curve is not None:
            marks = dict.fromkeys(values, 2.5) if len(values) < 30 else {}
            marks |= {float(saved): 5.0} if saved and name == [*keys][-1] else {}
            lines.append(CurveLine(curve=curve, ink=CURVES[name][0], dash=CURVES[name][1], marks=marks, panel=name))
    return draw_curves(lines, scale, (side, 0.65 * side), has_legend=len(lines) > 1, skipped=0)


def draw_learning_rate(run: RunFigureData, width: float) -> alt.LayerChart:
    """The learning rate at the end of every epoch."""
    drawn = draw_epochs(run, {"train": "train/lr"}, min(width - 60, 420))
    return drawn.properties(title="Learning rate at the end of the epoch")
