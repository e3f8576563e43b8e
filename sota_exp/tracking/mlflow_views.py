"""Saved views of MLflow's chart page: runs by technique, by cost, and their learning curves.

MLflow stores a shared view as a tag of the experiment, in an undocumented format. Only `CHECKED_VERSIONS` get views.
"""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow versions (prefixes) whose page was checked to draw these views.
CHECKED_VERSIONS = ("3.17.", "3.18.")

#: Axes of the comparison by technique, while runs differ in fewer than two slots.
DEFAULT_SLOTS = (
    "augmentation/policy",
    "augmentation/mix",
    "regularization/smoothing",
    "regularization/average",
    "schedule/lr",
    "optimizer",
)

#: More axes are not readable.
MOST_SLOTS = 8

#: Filter: without parent runs, which have no scores.
NO_PARENTS = "tags.kind != 'sweep' and tags.kind != 'study'"

#: Filter: only runs of studies.
ONLY_ARMS = "tags.kind = 'arm'"

#: Tag with the kind of the experiment; without it MLflow opens the page for language models.
EXPERIMENT_KIND_TAG = "mlflow.experimentKind"

VIEW_TAG = "mlflow.sharedViewState."

#: The column that MLflow itself adds to those of a view.
RUN_NAME_COLUMN = "attributes.`Run Name`"

#: Fields that are equal in all sections of charts.
SECTION = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}

ACCURACY, COST = "best/val_accuracy", "cost/train_seconds"


def write_views(client: "MlflowClient", experiment: str) -> None:
    """Write the views as tags of the experiment, for `CHECKED_VERSIONS` of MLflow; axes are the slots that vary."""
    import mlflow

    stored = client.get_experiment(experiment).tags
    wanted = {EXPERIMENT_KIND_TAG: "custom_model_development"}
    if mlflow.__version__.startswith(CHECKED_VERSIONS):
        for key, (name, state) in build_views(find_varied_slots(client, experiment)).items():
            wanted[f"{VIEW_TAG}{key}"] = json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state)})
    for key, value in wanted.items():
        if stored.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def find_varied_slots(client: "MlflowClient", experiment: str) -> list[str]:
    """Slots in which the latest 500 runs differ, completed by `DEFAULT_SLOTS` if there are fewer than two."""
    found: dict[str, set[str]] = {}
    for run in client.search_runs([experiment], NO_PARENTS, max_results=500):
        for key, value in run.data.params.items():
            if "/" in key or key in ("optimizer", "loss", "supervision", "data", "recipe"):
                found.setdefault(key, set()).add(value)
    varied = sorted(key for key, values in found.items() if len(values) > 1)
    return varied[:MOST_SLOTS] if len(varied) > 1 else [*dict.fromkeys([*varied, *DEFAULT_SLOTS])]


def build_view_links(address: str, experiment: str, version: str) -> dict[str, str]:
    """{name of a view: its URL}; the page of the experiment alone for versions that are not in `CHECKED_VERSIONS`."""
    page = f"{address.rstrip('/')}/#/experiments/{experiment}/runs"
    if not version.startswith(CHECKED_VERSIONS):
        return {"Runs": page}
    query, shared = "workflowType=machine_learning", build_views(list(DEFAULT_SLOTS))
    links = {name: f"{page}?viewStateShareKey={key}&compareRunsMode=CHART&{query}" for key, (name, _) in shared.items()}
    # The view selects columns with scores; MLflow's default table has none.
    return links | {"all runs, as a table": f"{page}?viewStateShareKey={next(iter(shared))}&{query}"}


def build_views(slots: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """{key: (name, state)}: a view of all runs, and one of studies, with runs grouped by arm."""
    axes = {"selectedParams": slots, "selectedMetrics": [ACCURACY], "showAllRuns": True}
    costs = [
        build_scatter_chart("Accuracy against training time", COST, ACCURACY),
        build_scatter_chart("Accuracy against compute per image", "cost/flops_per_image", ACCURACY),
        build_scatter_chart("Accuracy against learning rate", "hp/log10_lr", ACCURACY),
    ]
    curves = [
        build_line_chart("Validation accuracy", "val/accuracy"),
        build_line_chart("Validation loss", "val/loss"),
        build_line_chart("Training loss", "train/loss"),
        build_line_chart("Learning rate", "train/lr"),
    ]
    bars = [
        build_bar_chart("Test accuracy by arm", "test/accuracy"),
        build_bar_chart("Validation accuracy by arm", ACCURACY),
    ]
    arm_costs = [build_scatter_chart("Test accuracy against training time, by arm", COST, "test/accuracy")]
    grouped = {"searchFilter": ONLY_ARMS, "useGroupedValuesInCharts": True}
    runs = build_page_state([build_chart("PARALLEL", "By technique", **axes)], costs, curves)
    arms = build_page_state(bars, arm_costs, curves) | grouped
    return {
        "sota-exp": ("sota_exp: techniques, cost, curves", runs),
        "sota-exp-arms": ("sota_exp: studies, by arm", arms),
    }


def build_page_state(
    techniques: list[dict[str, Any]], costs: list[dict[str, Any]], curves: list[dict[str, Any]]
) -> dict[str, Any]:
    """State of the page: filter, order, columns of the table, and charts in sections."""
    sections = {"techniques": ("Techniques", 1), "cost": ("Cost", 3), "curves": ("Learning curves", 2)}
    charts = dict(zip(sections, (techniques, costs, curves), strict=True))
    table = [
        "metrics.`test/accuracy`",
        f"metrics.`{ACCURACY}`",
        f"metrics.`{COST}`",
        "params.`recipe`",
        "params.`data`",
    ]
    widths = {RUN_NAME_COLUMN: 320, **dict.fromkeys(table, 170)}
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": table,
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": False,
        "hideEmptyCharts": True,
        "groupBy": group_rows("equals"),
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunSections": [
            {"uuid": name, "name": title, "columns": columns, "cardHeight": 360, **SECTION}
            for name, (title, columns) in sections.items()
        ],
        "compareRunCharts": [{**chart, "metricSectionId": name} for name, part in charts.items() for chart in part],
    }


def group_rows(tag: str) -> dict[str, Any]:
    """Rows of the table grouped by a tag of runs that differ in their seed alone: charts show means, and their range.

    The page draws no run below a collapsed row, and it expands groups but not parent runs.
    """
    return {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": tag}]}


def build_chart(kind: str, title: str, **fields: Any) -> dict[str, Any]:
    uuid = f"{kind.lower()}-{title.lower().replace(' ', '-')}"
    return {"type": kind, "uuid": uuid, "displayName": title, "deleted": False, "isGenerated": False, **fields}


def build_scatter_chart(title: str, x: str, y: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return build_chart("SCATTER", title, runsCountToCompare=100, **axes)


def build_bar_chart(title: str, metric: str) -> dict[str, Any]:
    return build_chart("BAR", title, metricKey=metric, dataAccessKey=metric, runsCountToCompare=100)


def build_line_chart(title: str, metric: str) -> dict[str, Any]:
    return build_chart(
        "LINE",
        title,
        metricKey=metric,
        selectedMetricKeys=[metric],
        lineSmoothness=0,
        xAxisKey="step",
        xAxisScaleType="linear",
        scaleType="linear",
        range={},
        selectedXAxisMetricKey="",
        yAxisKey="metric",
        yAxisExpressions=[],
        ignoreOutliers=False,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
    )
