"""Reliability diagram: accuracy by confidence, one ring per bin whose area is its share of the images."""

import math

import numpy as np

from sota_exp.report.drawing.axis import Axis, draw_horizontal_grid, draw_vertical_grid
from sota_exp.report.drawing.drawing import Circle, Drawing, Mark, TextMark, make_line
from sota_exp.report.study.runs import ReliabilityBins


def draw_reliability_diagram(found: ReliabilityBins, ink: str, size: float, alt: str) -> Drawing:
    """A square drawing; on the diagonal, accuracy equals confidence."""
    left, right, top, bottom = 34.0, size - 8, 8.0, size - 36
    across = Axis(low=0, high=1, begin=left, end=right)
    upright = Axis(low=0, high=1, begin=bottom, end=top)
    texts = {share: f"{100 * share:.0f}" for share in (0.0, 0.5, 1.0)}
    marks: list[Mark] = [
        *draw_horizontal_grid(upright, left, right, texts, 10),
        *draw_vertical_grid(across, top, bottom, texts, 10),
    ]
    marks.append(make_line(left, bottom, right, top, "muted", 1.2, "3 3"))
    marks += [draw_bin(found, index, across, upright, ink) for index in np.flatnonzero(found.weight > 0).tolist()]
    middle = (left + right) / 2
    marks.append(TextMark(x=middle, y=size - 3, text="confidence, %", ink="muted", anchor="middle", size=10.5))
    return Drawing(width=size, height=size, marks=tuple(marks), alt=alt)


def draw_bin(found: ReliabilityBins, index: int, across: Axis, upright: Axis, ink: str) -> Circle:
    confidence, correct, weight = found.confidence[index], found.correct[index], found.weight[index]
    tip = f"confidence {confidence:.0%}: {correct:.0%} right, {weight:.0%} of images"
    radius = max(1.5, 14 * math.sqrt(weight))
    return Circle(x=across.at(confidence), y=upright.at(correct), radius=radius, ink=ink, is_hollow=True, tip=tip)
