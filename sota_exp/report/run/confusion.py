"""The confusion matrix of a run on test: whole, and of the classes that are confused most; rows are true classes."""

import itertools
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


def draw_confusion_matrix(run: RunFigureData, width: float) -> alt.LayerChart:
    """All classes; with more than `MAX_COUNTS`, those that are confused stand beside each other."""
    num = len(run.confusion)
    return draw_classes(run, order_classes(run.confusion) if num > MAX_COUNTS else range(num), width)


def draw_worst_confusions(run: RunFigureData, width: float) -> alt.LayerChart:
    """The `MAX_COUNTS` classes that are confused most."""
    return draw_classes(run, find_confused_classes(run.confusion), width)


def draw_classes(run: RunFigureData, order: Sequence[int], width: float) -> alt.LayerChart:
    """Some classes, in this order."""
    return draw_confusion_cells([run.classes[index] for index in order], *select_classes(run.confusion, order), width)


def select_classes(
    counts: NDArray[np.float64], order: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts, and shares of the images of the true class (NaN where it has none), of some classes: [K, K] each.

    counts: [C, C].
    """
    images = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(images > 0, images, np.nan)
    return counts[np.ix_(order, order)], shares[np.ix_(order, order)]


def order_classes(counts: NDArray[np.float64]) -> list[int]:
    """The classes so that those that are confused stand together: the leaves of average linkage. counts: [C, C]."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    nearness = shares + shares.T
    distance = nearness.max() - nearness
    np.fill_diagonal(distance, 0)
    found: list[int] = leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()
    return found


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


def draw_confusion_cells(
    classes: list[str], counts: NDArray[np.float64], shares: NDArray[np.float64], width: float
) -> alt.LayerChart:
    """A cell per pair of classes with its count. counts and shares: [C, C], NaN in rows of classes without images."""
    num = len(classes)
    least = 17 if width >= LEAST_WIDE else 12 if num <= MAX_COUNTS else 5
    side = float(np.clip(min(480, 0.62 * width) / num, least, 80))
    values = [
        {"true": true, "predicted": predicted, "count": int(counts[true, predicted]), "share": share if there else 0}
        | {"there": bool(there), "opacity": share if there else 1}
        | {"tip": f"{classes[true]} taken for {classes[predicted]}: {int(counts[true, predicted]):,} images"}
        for true, predicted in itertools.product(range(num), repeat=2)
        for share, there in [(shares[true, predicted], counts[true].any())]
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
