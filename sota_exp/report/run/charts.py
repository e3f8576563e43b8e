"""The charts of a run: learning curves, learning rate, confusion, reliability, worst mistakes, resolution search."""

import base64
import io
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from sota_exp.report.drawing.chart import (
    BLUE,
    FAINT,
    GREY,
    INKS,
    MUTED,
    ORANGE,
    PAPER,
    PERCENT_LABELS,
    RED,
    TEXT,
    build_data,
)
from sota_exp.report.drawing.curves import make_whole_axis
from sota_exp.report.numbers import format_accuracy, format_percent
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.report.run.predictions import NUM_BINS, bin_by_confidence, compute_confidence
from sota_exp.runs.result_json import get_saved_epoch
from sota_exp.statistics.proportion import wilson_interval

#: With more classes, a confusion matrix is an image without names; with more than `MAX_COUNTS`, it has no numbers.
MAX_CLASS_NAMES, MAX_COUNTS = 40, 20

#: A five-pointed star as the path of a symbol.
STAR = "M0,-1L0.23,-0.31L0.95,-0.31L0.36,0.12L0.59,0.81L0,0.38L-0.59,0.81L-0.36,0.12L-0.95,-0.31L-0.23,-0.31Z"

#: Labels of an axis of numbers.
NUMBER_LABELS = "format(datum.value, ',')"

#: Curves by name: key in the metrics, ink, dash.
RAW, AVERAGED = "val, raw weights", "val, averaged weights"
CURVES = {"train": (BLUE, [1, 0]), "val": (ORANGE, [6, 3]), RAW: (ORANGE, [6, 3]), AVERAGED: (RED, [1, 0])}


def draw_learning_curves(run: RunFigureData) -> alt.HConcatChart:
    """Loss on train and val, accuracy on val; of the raw weights and, if there are any, of the averaged weights."""
    is_averaged = any("val_raw/accuracy" in epoch for epoch in run.epochs)
    keys = {RAW: "val_raw", AVERAGED: "val"} if is_averaged else {"val": "val"}
    loss = draw_epochs(run, {"train": "train/loss"} | {name: f"{key}/loss" for name, key in keys.items()})
    accuracy = draw_epochs(run, {name: f"{key}/accuracy" for name, key in keys.items()}, PERCENT_LABELS)
    epoch, value = get_saved_epoch(run.result), run.result["metrics"]["val/accuracy"]
    saved = alt.Chart(build_data([{"epoch": epoch, "value": value}]))
    saved = saved.mark_circle(size=110, opacity=1, color=RED if is_averaged else ORANGE)
    title = f"Accuracy on val: {format_accuracy(value)} of the saved weights, epoch {epoch}"
    return alt.hconcat(
        loss.properties(title="Loss: cross-entropy, nats"),
        alt.layer(accuracy, saved.encode(alt.X("epoch:Q"), alt.Y("value:Q"))).properties(title=title),
        spacing=40,
    ).resolve_scale(color="independent", strokeDash="independent")


def draw_epochs(run: RunFigureData, keys: dict[str, str], labels: str = NUMBER_LABELS, **ends: float) -> alt.Chart:
    """Metrics by epoch. keys: the key of each curve; labels: Vega's expression for the axis, whose ends are `ends`."""
    values = [
        {"curve": name, "epoch": number, "value": epoch[key]}
        for name, key in keys.items()
        for number, epoch in enumerate(run.epochs, start=1)
        if key in epoch and math.isfinite(epoch[key])
    ]
    inks, dashes = zip(*(CURVES[name] for name in keys), strict=True)
    epochs = alt.Scale(domain=[0.7, max(len(run.epochs), 1) + 0.3], nice=False)
    legend = alt.Legend(orient="top", symbolType="stroke", symbolSize=400) if len(keys) > 1 else None
    chart = alt.Chart(build_data(values), width=380, height=260)
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


def draw_learning_rate(run: RunFigureData) -> alt.Chart:
    """The learning rate at the end of every epoch."""
    drawn = draw_epochs(run, {"train": "train/lr"}, domainMin=0.0)
    return drawn.properties(title="Learning rate at the end of the epoch")


def draw_confusion_matrix(run: RunFigureData) -> alt.LayerChart:
    """Confusion matrix on test; each row is normalized by the images of the true class, and grey where it has none."""
    counts = np.array(run.result["confusion_matrix"], dtype=np.float64)
    images = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(images > 0, images, np.nan)
    draw = draw_confusion_cells if len(counts) <= MAX_CLASS_NAMES else draw_confusion_image
    absent = "; grey: no image of the class" if not images.all() else ""
    title = f"Confusion on test ({int(counts.sum()):,} images{absent})"
    return draw(run.classes, counts, shares).properties(title=title)


def draw_confusion_cells(
    classes: list[str], counts: NDArray[np.float64], shares: NDArray[np.float64]
) -> alt.LayerChart:
    """A cell per pair of classes with its count. counts and shares: [C, C], NaN in rows of classes without images."""
    num, side = len(classes), float(np.clip(480 / len(classes), 17, 80))
    values = [
        {"true": true, "predicted": predicted, "count": int(counts[true, predicted]), "share": share if there else 0}
        | {"there": bool(there)}
        for true, predicted in itertools.product(range(num), repeat=2)
        for share, there in [(shares[true, predicted], counts[true].any())]
    ]
    # Two classes may have the same name: places are numbers, and the axes write the names.
    names = f"{json.dumps(classes)}[datum.value]"
    shade = alt.Scale(domain=[0, 1], range=[PAPER, BLUE], interpolate="rgb")
    base = alt.Chart(build_data(values), width=side * num, height=side * num).encode(
        alt.X("predicted:O", axis=alt.Axis(title="predicted class", labelAngle=-45, labelExpr=names)),
        alt.Y("true:O", axis=alt.Axis(title="true class", labelExpr=names)),
    )
    text = base.mark_text(fontSize=10.5).transform_filter("datum.count > 0")
    white = alt.ColorValue(TEXT, condition={"test": "datum.share > 0.55", "value": PAPER})
    colour = alt.Color("share:Q", scale=shade, legend=make_share_legend())
    cells = base.mark_rect().encode(color=alt.when("datum.there").then(colour).otherwise(alt.value(FAINT)))
    return alt.layer(cells, *([text.encode(alt.Text("count:Q"), white)] if num <= MAX_COUNTS else []))


def draw_confusion_image(
    classes: list[str], counts: NDArray[np.float64], shares: NDArray[np.float64]
) -> alt.LayerChart:
    """A pixel per pair of classes, with the numbers of the classes on the axes. counts, shares: [C, C]."""
    num, side = len(classes), 640
    blue, grey = (np.array([int(ink[at : at + 2], 16) for at in (1, 3, 5)]) for ink in (BLUE, FAINT))
    pixels = np.where(np.isnan(shares)[:, :, None], grey, 255 + shares[:, :, None] * (blue - 255)).astype(np.uint8)
    image = alt.Chart(build_data([{"url": to_data_url(pixels), "middle": num / 2}]))
    image = image.mark_image(width=side, height=side, smooth=False)
    corners = alt.Chart(build_data([{"middle": 0, "share": 0}, {"middle": num, "share": 1}])).mark_point(opacity=0)
    shade = alt.Color("share:Q", scale=alt.Scale(range=[PAPER, BLUE], interpolate="rgb"), legend=make_share_legend())
    x = alt.X("middle:Q", scale=alt.Scale(domain=[0, num]), axis=alt.Axis(title="number of the predicted class"))
    y = alt.Y("middle:Q", scale=alt.Scale(domain=[num, 0]), axis=alt.Axis(title="number of the true class"))
    drawn = alt.layer(image.encode(x, y, alt.Url("url:N")), corners.encode(x, y, shade))
    return drawn.properties(width=side, height=side)


def make_share_legend() -> alt.Legend:
    return alt.Legend(title="share of the true class", labelExpr=PERCENT_LABELS, values=[0, 0.25, 0.5, 0.75, 1])


def to_data_url(pixels: NDArray[np.uint8]) -> str:
    """An image, uint8 [H, W, 3], as the URL of a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def draw_run_reliability(run: RunFigureData) -> alt.VConcatChart:
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
    base = alt.Chart(build_data(values), width=380)
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
    title = f"Reliability on test (calibration error {format_accuracy(run.result['metrics']['test/ece'])})"
    return alt.vconcat(above.properties(height=300, title=title), below.properties(height=90), spacing=24)


def draw_worst_mistakes(run: RunFigureData) -> alt.LayerChart:
    """The most confident wrong predictions on test, the most confident first, six in a row."""
    side, columns = 112, 6
    width, height = (side + 14) * columns, (side + 42) * max(-(-len(run.mistakes["images"]) // columns), 1)
    found = [run.mistakes[name].tolist() for name in ("true", "predicted", "confidence")]
    values = [
        {
            "x": (side + 14) * (place % columns + 0.5),
            "y": (side + 42) * (place // columns + 0.5),
            "url": to_data_url(run.mistakes["images"][place].transpose(1, 2, 0)),
            "words": [run.classes[true], f"{format_percent(confidence)} for {run.classes[predicted]}"],
        }
        for place, (true, predicted, confidence) in enumerate(zip(*found, strict=True))
    ]
    base = alt.Chart(build_data(values)).encode(
        alt.X("x:Q", scale=alt.Scale(domain=[0, width], nice=False), axis=None),
        alt.Y("y:Q", scale=alt.Scale(domain=[height, 0], nice=False), axis=None),
    )
    title = (
        "The most confident mistakes on test: the class, and what it was taken for" if values else "No mistake on test"
    )
    words = base.mark_text(fontSize=11, dy=-side / 2 - 28, limit=side + 8, baseline="top", lineHeight=13)
    pictures = base.mark_image(width=side, height=side, smooth=False).encode(alt.Url("url:N"))
    drawn = alt.layer(pictures, words.encode(alt.Text("words:N")))
    return drawn.properties(title=title, width=width, height=height)


def draw_resolution_search(report: dict[str, Any]) -> alt.HConcatChart:
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
    return alt.hconcat(
        *(draw_views(points, marks, key, title) for key, title in axes.items()),
        title=f"Accuracy on val; cross-fitted gain {gain}: {kept}",
        spacing=30,
    )


def draw_views(
    points: Sequence[dict[str, Any]], marks: Sequence[dict[str, Any]], key: str, title: str
) -> alt.LayerChart:
    """Accuracy by one of the numbers of a view, with the default (ring) and the chosen view (star)."""
    ratios = sorted({point["ratio"] for point in points})
    inks = [light for light, _ in INKS.values()][4:]
    ink = alt.Color("ratio:N", scale=alt.Scale(domain=ratios, range=inks), legend=alt.Legend(orient="right"))
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
    lines = alt.Chart(build_data(points), width=250, height=210).mark_line(point=True, strokeWidth=1.8)
    return alt.layer(
        lines.encode(x, y, ink, alt.Order(f"{key}:Q")),
        marked.encode(x, y, alt.Shape("name:N", scale=shape, legend=alt.Legend(orient="right"))),
    )
