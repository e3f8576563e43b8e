"""The figures of a sweep: by Optuna, except the importances, whose numbers are those of `sweep.json`."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sota_exp.report.drawing.chart import BLUE, GREEN, ORANGE, PERCENT_LABELS, build_data, chart_to_svg, write_png
from sota_exp.report.drawing.matplotlib_canvas import save_figure
from sota_exp.report.numbers import format_percent

#: Most trials in a legend, which are the colours that Optuna has.
MOST_IN_LEGEND = 20

#: Most parameters in one figure.
MAX_PARAMETERS = 8


def draw_sweep_figures(study: optuna.Study, summary: Mapping[str, Any], folder: Path) -> None:
    """Write every figure of the sweep into `folder`; none without a complete trial."""
    folder.mkdir(exist_ok=True)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if complete:
        shares: Mapping[str, float] = next(iter(summary["importances"].values()), {})
        parameters = rank_parameters(complete, shares)
        drawings = choose_drawings(study, list(summary["objective"]), parameters)
        save_all(drawings, folder)
        if summary["importances"]:
            draw_importances(summary["importances"], folder / "importances.png")


def rank_parameters(complete: list[FrozenTrial], shares: Mapping[str, float]) -> list[str]:
    """Searched parameters with more than one value, the most important first."""
    found: dict[str, set[str]] = defaultdict(set)
    for trial in complete:
        for name, value in trial.params.items():
            found[name].add(str(value))
    varied = sorted(name for name, values in found.items() if len(values) > 1)
    return sorted(varied, key=lambda name: -shares.get(name, 0.0))[:MAX_PARAMETERS]


def choose_drawings(
    study: optuna.Study, objectives: list[str], parameters: list[str]
) -> dict[str, Callable[[], object]]:
    """The figures that this study has data for, by name."""
    from optuna.visualization import matplotlib as plots

    of_first: dict[str, Any] = {"target_name": objectives[0]}
    of_first |= {"target": lambda trial: trial.values[0]} if len(objectives) > 1 else {}
    drawings: dict[str, Callable[[], object]] = {"timeline": lambda: plots.plot_timeline(study)}
    drawings["history"] = lambda: draw_history(study, of_first)
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        drawings["intermediate_values"] = lambda: draw_reports(study)
    if parameters:
        drawings["slice"] = lambda: plots.plot_slice(study, parameters, **of_first)
        drawings["parallel_coordinates"] = lambda: plots.plot_parallel_coordinate(study, parameters, **of_first)
    if len(parameters) > 1:
        drawings["contour"] = lambda: plots.plot_contour(study, parameters[:2], **of_first)
    if len(objectives) > 1:
        drawings["front"] = lambda: draw_front(study, objectives)
    return drawings


def save_all(drawings: Mapping[str, Callable[[], object]], folder: Path) -> None:
    """Write each figure as a PNG; pyplot's settings, which Optuna changes, are restored."""
    import matplotlib as mpl
    from matplotlib import pyplot

    with mpl.rc_context({"backend": "agg", "savefig.bbox": "tight"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for name, draw in drawings.items():
            draw()
            save_figure(pyplot.gcf(), folder / f"{name}.png")
            pyplot.close()


def draw_history(study: optuna.Study, of_first: Mapping[str, Any]) -> None:
    """The value of each complete trial, the best so far, and the value of the recipe's own trial."""
    from optuna.visualization.matplotlib import plot_optimization_history

    axes = plot_optimization_history(study, **of_first)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.user_attrs.get("default"):
            axes.axhline(trial.values[0], linestyle=":", label="the recipe's own values")
    axes.legend()


def draw_reports(study: optuna.Study) -> None:
    """The values of each trial by epoch; a legend where its colours differ: one of 1,000 trials has 20,000 pixels."""
    from optuna.visualization.matplotlib import plot_intermediate_values

    legend = plot_intermediate_values(study).get_legend()
    if legend is not None and len(legend.get_texts()) > MOST_IN_LEGEND:
        legend.remove()


def draw_front(study: optuna.Study, objectives: list[str]) -> None:
    """The first two objectives and the Pareto front, with trial numbers."""
    from optuna.visualization.matplotlib import plot_pareto_front

    axes = plot_pareto_front(study, target_names=objectives[:2], targets=lambda trial: trial.values[:2])
    for trial in study.best_trials:
        axes.annotate(str(trial.number), trial.values[:2], xytext=(5, 5), textcoords="offset points", fontsize=8.5)


def draw_importances(methods: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Importance of each parameter by each method."""
    import altair as alt

    values = [
        {"parameter": name, "method": method, "share": share, "words": format_percent(share)}
        for method, shares in methods.items()
        for name in next(iter(methods.values()))
        for share in [shares.get(name, 0.0)]
    ]
    base = alt.Chart(build_data(values), width=480, height=alt.Step(18, **{"for": "offset"})).encode(
        alt.X("share:Q", axis=alt.Axis(title="share of the variation", labelExpr=PERCENT_LABELS, tickCount=6)),
        alt.Y("parameter:N", sort=None, axis=alt.Axis(title="", grid=False)),
        alt.YOffset("method:N", sort=None),
    )
    ink = alt.Color(
        "method:N", sort=None, scale=alt.Scale(range=[BLUE, ORANGE, GREEN]), legend=alt.Legend(orient="top")
    )
    text = base.mark_text(align="left", dx=4, fontSize=10.5).encode(alt.Text("words:N"))
    write_png(chart_to_svg(alt.layer(base.mark_bar().encode(ink), text).properties(title="Importance")), path)
