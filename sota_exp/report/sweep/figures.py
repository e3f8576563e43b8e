"""The figures of a sweep: most by Optuna; the history also shows pruned and failed trials and the recipe's values."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from sota_exp.report.drawing.matplotlib_canvas import BLUE, GREEN, GREY, ORANGE, RED, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Most parameters in one figure.
MAX_PARAMETERS = 8


def draw_sweep(study: optuna.Study, summary: Mapping[str, Any], folder: Path) -> None:
    """Write every figure of the sweep into `folder`; none without a complete trial."""
    folder.mkdir(exist_ok=True)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if complete:
        draw_history(study, str(summary["objective"][0]), folder / "history.png")
        if summary["importances"]:
            draw_importances(summary["importances"], folder / "importances.png")
        draw_by_optuna(study, list(summary["objective"]), rank_parameters(complete, summary), folder)


def rank_parameters(complete: list[FrozenTrial], summary: Mapping[str, Any]) -> list[str]:
    """Searched parameters with more than one value, the most important first."""
    found: dict[str, set[str]] = defaultdict(set)
    for trial in complete:
        for name, value in trial.params.items():
            found[name].add(str(value))
    varied = sorted(name for name, values in found.items() if len(values) > 1)
    shares: Mapping[str, float] = next(iter(summary["importances"].values()), {})
    return sorted(varied, key=lambda name: -shares.get(name, 0.0))[:MAX_PARAMETERS]


def draw_by_optuna(study: optuna.Study, objectives: list[str], parameters: list[str], folder: Path) -> None:
    """Slices, contour of the two most important parameters, parallel coordinates, reports, timeline, Pareto front."""
    import matplotlib as mpl
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    of_first: dict[str, Any] = {"target": lambda trial: trial.values[0], "target_name": objectives[0]}
    of_first |= {} if len(objectives) > 1 else {"target": None}
    drawings: dict[str, Callable[[], object]] = {"timeline": lambda: plots.plot_timeline(study)}
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        drawings["intermediate_values"] = lambda: plots.plot_intermediate_values(study)
    if parameters:
        drawings["slice"] = lambda: plots.plot_slice(study, parameters, **of_first)
        drawings["parallel_coordinates"] = lambda: plots.plot_parallel_coordinate(study, parameters, **of_first)
    if len(parameters) > 1:
        drawings["contour"] = lambda: plots.plot_contour(study, parameters[:2], **of_first)
    if len(objectives) > 1:
        drawings["front"] = lambda: draw_front(study, objectives)
    with mpl.rc_context({"backend": "agg", "savefig.bbox": "tight"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for name, draw in drawings.items():
            draw()
            save(pyplot.gcf(), folder / f"{name}.png")
            pyplot.close()


def draw_front(study: optuna.Study, objectives: list[str]) -> "Axes":
    """The first two objectives and the Pareto front, with trial numbers."""
    from optuna.visualization.matplotlib import plot_pareto_front

    axes = plot_pareto_front(study, target_names=objectives[:2], targets=lambda trial: trial.values[:2])
    for trial in study.best_trials:
        axes.annotate(str(trial.number), trial.values[:2], xytext=(5, 5), textcoords="offset points", fontsize=8.5)
    return axes


def draw_history(study: optuna.Study, objective: str, path: Path) -> None:
    """The value of each trial by its number, the best so far, the recipe's own values, pruned and failed trials."""
    trials = study.get_trials(deepcopy=False)
    drawing = figure(7.5, 4)
    axes = drawing.subplots()
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    legal = [trial for trial in complete if all(value <= 0 for value in trial.constraints.values())]
    extreme = np.maximum if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else np.minimum
    best = extreme.accumulate([trial.values[0] for trial in legal])
    axes.step([trial.number for trial in legal], best, where="post", color=GREY, label="best so far")
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.intermediate_values]
    draw_trials(axes, {trial.number: trial.values[0] for trial in complete}, BLUE, "o", "complete")
    last = {trial.number: trial.intermediate_values[max(trial.intermediate_values)] for trial in pruned}
    draw_trials(axes, last, ORANGE, "v", "pruned, last value")
    for trial in complete:
        if trial.user_attrs.get("default"):
            axes.axhline(trial.values[0], color=GREEN, linestyle=":", label="the recipe's own values")
    bottom = axes.get_ylim()[0]
    failed = {trial.number: bottom for trial in trials if trial.state == TrialState.FAIL}
    draw_trials(axes, failed, RED, "x", "failed")
    tidy(axes, "Value of each trial", "trial", objective)
    axes.legend(frameon=False, fontsize=8.5)
    save(drawing, path)


def draw_trials(axes: "Axes", values: Mapping[int, float], color: str, marker: str, label: str) -> None:
    """A mark per trial number; no entry in the legend without a trial."""
    if values:
        axes.plot(*zip(*values.items(), strict=True), marker, color=color, markersize=5, label=label, clip_on=False)


def draw_importances(methods: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Importance of each parameter by each method."""
    names = list(next(iter(methods.values())))[::-1]
    drawing = figure(7.5, 1.4 + 0.5 * len(names))
    axes = drawing.subplots()
    for index, (method, shares) in enumerate(methods.items()):
        places = np.arange(len(names)) + 0.2 - 0.4 * index
        bars = axes.barh(places, [shares.get(name, 0.0) for name in names], height=0.36, label=method)
        axes.bar_label(bars, fmt=" {:.0%}", fontsize=8.5)
    axes.set_yticks(range(len(names)), names)
    axes.margins(x=0.12)
    tidy(axes, "Importance", "share", "")
    axes.legend(frameon=False, fontsize=8.5)
    save(drawing, path)
