"""The charts of a run: learning curves, learning rate, reliability, resolution search."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from sota_exp.report.drawing.chart import (
    BLUE,
    GREY,
    INKS,
    MUTED,
    ORANGE,
    PERCENT_LABELS,
    RED,
    TEXT,
    build_data,
)
from sota_exp.report.drawing.curves import make_whole_axis, split_width
from sota_exp.report.numbers import format_accuracy
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.report.run.predictions import NUM_BINS, bin_by_confidence, compute_confidence
from sota_exp.runs.result_json import get_saved_epoch
from sota_exp.statistics.proportion import wilson_interval

#: A five-pointed star as the path of a symbol.
STAR = "M0,-1L0.23,-0.31L0.95,-0.31L0.36,0.12L0.59,0.81L0,0.38L-0.59,0.81L-0.36,0.12L-0.95,-0.31L-0.23,-0.31Z"

#: Labels of an axis of numbers.
NUMBER_LABELS = "format(datum.value, ',')"

#: Curves by name: key in the metrics, ink, dash.
RAW, AVERAGED = "val, raw weights", "val, averaged weights"
CURVES = {"train": (BLUE, [1, 0]), "val": (ORANGE, [6, 3]), RAW: (ORANGE, [6, 3]), AVERAGED: (RED, [1, 0])}


def draw_learning_curves(run: RunFigureData, width: float) -> alt.ConcatChart:
    """Loss on train and val, accuracy on val; of the raw weights and, if there are any, of the averaged weights."""
    columns, side = split_width(width, 380)
    is_averaged = any("val_raw/accuracy" in epoch for epoch in run.epochs)
    keys = {RAW: "val_raw", AVERAGED: "val"} if is_averaged else {"val": "val"}
    loss = draw_epochs(run, {"train": "train/loss"} | {name: f"{key}/loss" for name, key in keys.items()}, side)
    accuracy = draw_epochs(run, {name: f"{key}/accuracy" for name, key in keys.items()}, side, PERCENT_LABELS)
    epoch, value = get_saved_epoch(run.result), run.result["metrics"]["val/accuracy"]
    saved = alt.Chart(build_data([{"epoch": epoch, "value": value}]))
    saved = saved.mark_circle(size=110, opacity=1, color=RED if is_averaged else ORANGE)
    title = alt.TitleParams("Accuracy on val", subtitle=f"saved weights: {format_accuracy(value)}, epoch {epoch}")
    return alt.concat(
        loss.properties(title=alt.TitleParams("Loss", subtitle="cross-entropy, nats")),
        alt.layer(accuracy, saved.encode(alt.X("epoch:Q"), alt.Y("value:Q"))).properties(title=title),
        columns=columns,
        spacing=36,
    ).resolve_scale(color="independent", strokeDash="independent")


def draw_epochs(
    run: RunFigureData, keys: dict[str, str], side: float, labels: str = NUMBER_LABELS, **ends: float
) -> alt.Chart:
    """Metrics by epoch. keys: the key of each curve; labels: Vega's expression for the axis, whose ends are `ends`."""
    values = [
        {"curve": name, "epoch": number, "value": epoch[key]}
        for name, key in keys.items()
        for number, epoch in enumerate(run.epochs, start=1)
        if key in epoch and math.isfinite(epoch[key])
    ]
    inks, dashes = zip(*(CURVES[name] for name in keys), strict=True)
    epochs = alt.Scale(domain=[0.7, max(len(run.epochs), 1) + 0.3], nice=False)
    legend = (
        alt.Legend(orient="top", symbolType="stroke", symbolSize=400, columns=int(side // 135))
        if len(keys) > 1
        else None
    )
    chart = alt.Chart(build_data(values), width=side, height=0.65 * side)
    return chart.mark_line(strokeWidth=1.8, point={"size": 26, "opacity": 1} if len(run.epochs) < 30 else False).encode(
        alt.X("epoch:Q", scale=epochs, axis=make_whole_axis("epoch", 8)),
        alt.Y(
            "value:Q",
            scale=alt.Scale(zero=False, **ends),
            axis=alt.Axis(title="", labelExpr=labels, tickCount=6),
        ),
        alt.Color("curve:N", scale=alt.Scale(domain=list(keys), range=list(inks)), legend=legend),
        alt.StrokeDash("curve:N", scale=alt.Scale(domain=list(keys), range=list(dashes)), legend=legend),
    )


def draw_learning_rate(run: RunFigureData, width: float) -> alt.Chart:
    """The learning rate at the end of every epoch."""
    drawn = draw_epochs(run, {"train": "train/lr"}, min(width - 60, 420), domainMin=0.0)
    return drawn.properties(title="Learning rate at the end of the epoch")


def draw_run_reliability(run: RunFigureData, width: float) -> alt.VConcatChart:
    """Accuracy by confidence on test, with its 95 % interval, and the number of images per bin."""
    num, share = bin_by_confidence(*compute_confidence(run.logits, run.labels))
    gap = 0.04 / NUM_BINS
    values = [
        {"begin": index / NUM_BINS + gap, "end": (index + 1) / NUM_BINS - gap, "middle": (index + 0.5) / NUM_BINS}
        | {"images": num[index], "accuracy": share[index], "none": 0}
        | dict(zip(("low", "high"), wilson_interval(float(share[index]), int(num[index])), strict=True))
        for index in np.flatnonzero(num).tolist()
    ]
    unit = alt.Scale(domain=[0, 1])
    base = alt.Chart(build_data(values), width=min(width - 80, 380))
    x = alt.X("begin:Q", scale=unit, axis=alt.Axis(title="confidence of the prediction", labelExpr=PERCENT_LABELS))
    y = alt.Axis(title="accuracy, with its 95 % interval; dashed: perfect calibration", labelExpr=PERCENT_LABELS)
    diagonal = alt.Chart(build_data([{"begin": 0, "accuracy": 0}, {"begin": 1, "accuracy": 1}]))
    above = alt.layer(
        base.mark_bar(color=BLUE, opacity=0.85).encode(
            x, alt.Y("none:Q", scale=unit, axis=y), alt.X2("end"), alt.Y2("accuracy")
        ),
        base.mark_rule(color=GREY, strokeWidth=1.5).encode(alt.X("middle:Q"), alt.Y("low:Q"), alt.Y2("high")),
        diagonal.mark_line(color=MUTED, strokeDash=[5, 4]).encode(alt.X("begin:Q"), alt.Y("accuracy:Q")),
    )
    below = base.mark_bar(color=ORANGE).encode(
        x, alt.Y("none:Q", axis=alt.Axis(title="images")), alt.X2("end"), alt.Y2("images")
    )
    error = format_accuracy(run.result["metrics"]["test/ece"])
    title = alt.TitleParams("Reliability on test", subtitle=f"calibration error {error}")
    return alt.vconcat(above.properties(height=300, title=title), below.properties(height=90), spacing=24)


def draw_resolution_search(report: dict[str, Any], width: float) -> alt.ConcatChart:
    """Accuracy on val by size, FLOPs and time: one line per crop ratio; the default and the chosen view are marked."""
    # Sizes are whole pixels, so a crop ratio differs a little from size to size.
    points = [
        point | {"ratio": f"crop ratio {point['crop_ratio']:.2f}", "view": [point["resize"], point["size"]]}
        for point in report["curve"]
    ]
    marks = [
        next(point for point in points if point["view"] == list(report[name].values())) | {"name": name}
        for name in ("default", "chosen")
    ]
    axes = {
        "size": "side of the evaluation crop, px",
        "gflops_per_image": "GFLOPs per image",
        "milliseconds_per_image": "milliseconds per image, on this machine",
    }
    kept = "default kept" if report["chosen"] == report["default"] else "default replaced"
    gain = f"{100 * report['gain']:+.2f} ± {100 * report['gain_standard_error']:.2f} points"
    return alt.concat(
        *(draw_views(points, marks, key, title) for key, title in axes.items()),
        title=alt.TitleParams("Accuracy on val", subtitle=f"cross-fitted gain {gain}: {kept}"),
        columns=split_width(width, 235)[0],
        spacing=30,
    )


def draw_views(
    points: Sequence[dict[str, Any]], marks: Sequence[dict[str, Any]], key: str, title: str
) -> alt.LayerChart:
    """Accuracy by one of the numbers of a view, with the default (ring) and the chosen view (star)."""
    ratios = sorted({point["ratio"] for point in points})
    inks = [light for light, _ in INKS.values()][4:]
    ink = alt.Color("ratio:N", scale=alt.Scale(domain=ratios, range=inks), legend=alt.Legend(orient="bottom"))
    x = alt.X(
        f"{key}:Q",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(title=title, tickCount=5, labelExpr=NUMBER_LABELS),
    )
    y = alt.Y(
        "val_accuracy:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title="", labelExpr=PERCENT_LABELS, tickCount=6)
    )
    shape = alt.Scale(domain=["default", "chosen"], range=["circle", STAR])
    marked = alt.Chart(build_data(marks)).mark_point(size=170, color=TEXT, opacity=1, strokeWidth=1.4)
    lines = alt.Chart(build_data(points), width=235, height=210).mark_line(point=True, strokeWidth=1.8)
    return alt.layer(
        lines.encode(x, y, ink, alt.Order(f"{key}:Q")),
        marked.encode(x, y, alt.Shape("name:N", scale=shape, legend=alt.Legend(orient="bottom"))),
    )
