"""The figures of a sweep: confirmation, history, values by parameter, front. Imports Altair."""

from typing import Any

from sota_exp.report.drawing.chart import BLUE, GREY, Figure
from sota_exp.report.drawing.cost_scatter import draw_cost_scatter
from sota_exp.report.drawing.forest_and_waterfall import EffectRow
from sota_exp.report.drawing.trials import draw_parameters, draw_search_history
from sota_exp.report.study.effect_figures import build_forest_figure
from sota_exp.report.study.read import parse_interval
from sota_exp.report.sweep.tables import Tree, get_test, name_test_metric
from sota_exp.statistics.units import get_metric_format

#: Most parameters that are drawn.
MOST_PARAMETERS = 8


def build_confirmation_figure(tree: Tree) -> Figure | None:
    """Forest plot of the differences from the recipe's own values: of all arms on val, of the winner on test."""
    confirm, scale = tree["confirm"], get_metric_format(tree["objective"][0])
    metric = confirm["metric"] or tree["objective"][0]
    rows = [
        EffectRow(
            label=f"{arm['name']}, {name}",
            mean=found["mean"],
            interval=parse_interval(found["interval"]),
            word=scale.difference(found["mean"]),
            ink=ink,
            is_hollow=ink == GREY,
        )
        for arm in confirm["arms"]
        for name, found, ink in (
            (metric, arm.get("difference"), GREY),
            (name_test_metric(metric), get_test(confirm, arm), BLUE),
        )
        if found
    ]
    return build_forest_figure("confirmed", rows, scale, "difference from the recipe's own values")


def list_history(tree: Tree) -> list[dict[str, Any]]:
    """The trials that have a value, with it in its unit; of a pruned trial, its last report."""
    scale = get_metric_format(tree["objective"][0])
    return [
        {
            "number": int(item["number"]),
            "value": scale.factor * float(values[0]),
            "is_complete": item.get("state") == "complete",
            "tip": f"trial {item['number']}: {scale.format_with_unit(values[0])}",
            "knobs": item.get("knobs") or item.get("params") or {},
        }
        for item in tree["entries"]
        if (values := item.get("values") or list((item.get("reports") or {}).values())[-1:])
    ]


def build_search_figures(tree: Tree) -> dict[str, Figure]:
    """The figures that the trials have data for, by name."""
    trials, sign = list_history(tree), -1 if tree["direction"][0] == "minimize" else 1
    if not trials:
        return {}
    title = get_metric_format(tree["objective"][0]).title(tree["objective"][0])
    found = [
        Figure(
            name="search_history",
            alt=f"Values of {len(trials)} trials in their order",
            draw=lambda width: draw_search_history(trials, sign, title, (width - 70, 230)),
        )
    ]
    if names := rank_parameters(tree, trials):
        draw = lambda width: draw_parameters(trials, names, sign, title, width)  # noqa: E731
        found.append(Figure(name="parameters", alt=f"Values of the trials by {', '.join(names)}", draw=draw))
    if (front := build_front_figure(tree)) is not None:
        found.append(front)
    return {figure.name: figure for figure in found}


def rank_parameters(tree: Tree, trials: list[dict[str, Any]]) -> list[str]:
    """The searched parameters with more than one value, the most important first."""
    shares: Tree = next(iter(tree["importances"].values()), {})
    values = {name: {str(each["knobs"].get(name)) for each in trials} for each in trials for name in each["knobs"]}
    varied = sorted(name for name, found in values.items() if len(found) > 1)
    return sorted(varied, key=lambda name: -shares.get(name, 0.0))[:MOST_PARAMETERS]


def build_front_figure(tree: Tree) -> Figure | None:
    """The first two objectives of the complete trials, with the Pareto front."""
    scales = [get_metric_format(name) for name in tree["objective"][:2]]
    points = [
        {"number": str(item["number"]), "tip": f"trial {item['number']}", "time": scales[1].factor * item["values"][1]}
        | dict.fromkeys(("score", "low", "high"), scales[0].factor * item["values"][0])
        | {"ink": BLUE if any(each["number"] == item["number"] for each in tree.get("front") or ()) else GREY}
        for item in tree["entries"]
        if len(item.get("values") or ()) > 1
    ]
    if not points:
        return None
    score, time = (scale.title(name) for scale, name in zip(scales, tree["objective"], strict=False))
    return Figure(
        name="front",
        alt=f"{tree['objective'][0]} by {tree['objective'][1]} of {len(points)} trials",
        draw=lambda width: draw_cost_scatter(
            points, (time, score), (width - 70, 300), has_front=tree["direction"][:2] == ["maximize", "minimize"]
        ),
    )
