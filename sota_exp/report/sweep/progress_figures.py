"""Figures of the course of a sweep: history, reported values, timeline, Pareto front."""

from pathlib import Path
from typing import Any

import numpy as np

from sota_exp.report.drawing.matplotlib_canvas import BLUE, GREEN, GREY, ORANGE, RED, figure, save, tidy
from sota_exp.report.sweep.trials import SweepFigureData

COLOURS = {"complete": BLUE, "pruned": ORANGE, "failed": RED, "running": GREY}


def draw_sweep_history(sweep: SweepFigureData, path: Path) -> None:
    """The value of each trial by its number, and the best so far."""
    drawing = figure(7.5, 4)
    axes = drawing.subplots()
    numbers = [item["number"] for item in sweep.complete]
    values = [item["values"][0] for item in sweep.complete]
    legal = [item for item in sweep.complete if item.get("feasible", True)]
    best = sweep.sign * np.maximum.accumulate([sweep.sign * item["values"][0] for item in legal] or [np.nan])
    axes.step(
        [item["number"] for item in legal] or [0], best, where="post", color=GREY, linewidth=1.5, label="best so far"
    )
    axes.scatter(numbers, values, color=BLUE, s=28, zorder=3, label="complete")
    pruned = [item for item in sweep.trials if item["state"] == "pruned" and item["reports"]]
    last = [list(item["reports"].values())[-1] for item in pruned]
    axes.scatter([item["number"] for item in pruned], last, color=ORANGE, marker="v", s=28, label="pruned, last value")
    default = [item for item in sweep.complete if item["is_default"]]
    for item in default:
        axes.axhline(item["values"][0], color=GREEN, linestyle=":", linewidth=1.5, label="the recipe's own values")
    failed = [item["number"] for item in sweep.trials if item["state"] == "failed"]
    low = axes.get_ylim()[0]
    axes.scatter(failed, [low] * len(failed), color=RED, marker="x", s=30, label="failed", clip_on=False)
    tidy(axes, "Value of each trial", "trial", sweep.objective)
    handles, labels = axes.get_legend_handles_labels()
    kept = [(handle, label) for handle, label in zip(handles, labels, strict=True) if has_points(handle)]
    axes.legend([handle for handle, _ in kept], [label for _, label in kept], frameon=False, fontsize=8.5)
    save(drawing, path)


def has_points(handle: Any) -> bool:
    """Whether a scatter has a point; True for lines."""
    from matplotlib.collections import PathCollection

    return not isinstance(handle, PathCollection) or np.size(handle.get_offsets()) > 0


def draw_intermediate_values(sweep: SweepFigureData, path: Path) -> None:
    """The values that each trial reported, by epoch."""
    drawing = figure(7.5, 4)
    axes = drawing.subplots()
    names: set[str] = set()
    for item in sweep.trials:
        if item["reports"] and item["state"] in COLOURS:
            steps = [int(step) + 1 for step in item["reports"]]
            label = item["state"] if item["state"] not in names else None
            names.add(item["state"])
            style = {"complete": "-", "pruned": "--"}.get(item["state"], ":")
            colour = COLOURS[item["state"]]
            axes.plot(steps, list(item["reports"].values()), style, color=colour, linewidth=1, alpha=0.7, label=label)
            if item["state"] == "pruned":
                axes.plot(steps[-1], list(item["reports"].values())[-1], "v", color=colour, markersize=5)
    tidy(axes, "Reported values of each trial", "epoch, or seed", sweep.objective)
    if names:
        axes.legend(frameon=False, fontsize=8.5)
    save(drawing, path)


def draw_timeline(sweep: SweepFigureData, path: Path) -> None:
    """Start and end of each trial, from the start of the first."""
    from matplotlib.ticker import MaxNLocator

    items = [item for item in sweep.trials if item["at"][0] is not None]
    begun = min(item["at"][0] for item in items)
    latest = max((item["at"][1] or item["at"][0]) for item in items)
    unit, seconds = ("minutes", 60) if latest - begun < 7200 else ("hours", 3600)
    drawing = figure(7.5, max(2.4, 0.6 + 0.16 * len(items)))
    axes = drawing.subplots()
    for state, colour in COLOURS.items():
        chosen = [item for item in items if item["state"] == state]
        if chosen:
            starts = [(item["at"][0] - begun) / seconds for item in chosen]
            widths = [((item["at"][1] or latest) - item["at"][0]) / seconds for item in chosen]
            axes.barh([item["number"] for item in chosen], widths, left=starts, color=colour, height=0.75, label=state)
    axes.invert_yaxis()
    tidy(axes, "When each trial ran", f"{unit} since the start of the first trial", "trial")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8.5)
    save(drawing, path)


def draw_objectives_front(sweep: SweepFigureData, path: Path) -> None:
    """The first two objectives and the Pareto front."""
    drawing = figure(7, 4.5)
    axes = drawing.subplots()
    first, second = sweep.summary["objective"][:2]
    axes.scatter(
        [t["values"][1] for t in sweep.complete], [t["values"][0] for t in sweep.complete], color="#c4c4c4", s=28
    )
    best = sorted((item["value"][1], item["value"][0], item["number"]) for item in sweep.summary["front"])
    axes.plot([x for x, _, _ in best], [y for _, y, _ in best], "o-", color=BLUE, markersize=6, label="Pareto front")
    for x, y, number in best:
        axes.annotate(str(number), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8.5)
    tidy(axes, "Pareto front, with trial numbers", second, first)
    axes.legend(frameon=False, fontsize=8.5)
    save(drawing, path)
