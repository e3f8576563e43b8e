"""The confusion matrix of a run on test: whole, and of the classes that are confused most; rows are true classes."""

import json
from collections.abc import Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray

from sota_exp.config.values import shorten_middle
from sota_exp.report.drawing.chart import BLUE, FAINT, PAPER, TEXT, build_data
from sota_exp.report.run.figure_data import RunFigureData

#: With more than `MAX_COUNTS` classes, a confusion matrix has no numbers, on a phone no names either, and the classes
#: that are confused most have one of their own; with more than `MAX_CLASS_NAMES`, that is the only one.
MAX_CLASS_NAMES, MAX_COUNTS = 40, 20

#: Narrower charts are those of a phone.
LEAST_WIDE = 520

#: Pixels of a cell in which a name can be read.
LEAST_LETTER = 9


def order_classes(counts: NDArray[np.float64]) -> list[int]:
    """The classes so that those that are confused stand together: the leaves of average linkage. counts: [C, C]."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    nearness = squareform(shares + shares.T, checks=False)
    return list(map(int, leaves_list(linkage(nearness.max() - nearness, "average"))))


def find_confused_classes(counts: NDArray[np.float64]) -> list[int]:
    """The classes of the pairs that are confused most often, at most `MAX_COUNTS`, clustered. counts: [C, C]."""
    pairs = (divmod(index, len(counts)) for index in np.argsort(-counts, axis=None, kind="stable").tolist())
    found: dict[int, None] = {}
    for pair in (pair for pair in pairs if pair[0] != pair[1]):
        if counts[pair] == 0 or len({*found, *pair}) > MAX_COUNTS:
            break
        found |= dict.fromkeys(pair)
    kept = list(found)
    return [kept[index] for index in order_classes(counts[np.ix_(kept, kept)])] if len(kept) > 2 else kept


def draw_classes(run: RunFigureData, width: float, order: Sequence[int]) -> alt.LayerChart:
    """Some classes in this order: a cell per pair with its count, the darker the larger its share of the true class."""
    images, num = run.confusion.sum(axis=1), len(order)
    counts, classes = run.confusion[np.ix_(order, order)], [run.classes[index] for index in order]
    least = 17 if width >= LEAST_WIDE else 12 if num <= MAX_COUNTS else 5
    side = float(np.clip(min(480, 0.62 * width) / num, least, 80))
    values = [
        {"true": true, "predicted": predicted, "count": count, "share": share, "there": total > 0}
        | {"opacity": share if total else 1, "tip": f"{classes[true]} taken for {classes[predicted]}: {count:,} images"}
        for true, total in enumerate(images[list(order)].tolist())
        for predicted, count in enumerate(counts[true].astype(int).tolist())
        for share in [count / max(total, 1)]
    ]
    # Two classes may have the same name: places are numbers, and the axes write the names.
    most = int(min(0.25 * width, 260) / 6)
    names = f"{json.dumps([shorten_middle(name, most) for name in classes])}[datum.value]"
    axis = {"labelExpr": names, "labelLimit": 0, "labelFontSize": min(11, side), "labels": side > LEAST_LETTER}
    base = alt.Chart(build_data(values), width=side * num, height=side * num).encode(
        alt.X("predicted:O", axis=alt.Axis(title="predicted class", labelAngle=-45, **axis)),
        alt.Y("true:O", axis=alt.Axis(title="true class", **axis)),
    )
    text = base.mark_text(fontSize=min(10.5, 0.55 * side)).transform_filter("datum.count > 0")
    white = alt.ColorValue(TEXT, condition={"test": "datum.share > 0.55", "value": PAPER})
    cells = base.mark_rect(aria=num <= MAX_COUNTS).encode(
        alt.Opacity("opacity:Q", scale=None),
        alt.Description("tip:N"),
        color=alt.when("datum.there").then(alt.value(BLUE)).otherwise(alt.value(FAINT)),
    )
    return alt.layer(cells, *([text.encode(alt.Text("count:Q"), white)] if num <= MAX_COUNTS else []))
