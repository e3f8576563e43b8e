"""Saved views of MLflow's chart page, as code: how runs compare by technique, by cost, and epoch by epoch.

MLflow keeps a shared view as a tag of the experiment. Its format is undocumented; it was looked at in the versions below, and
any other gets no view.
"""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow versions whose page was seen to draw these views.
SEEN = ("3.17.",)

#: The slots on the axes of the comparison by technique; more than this cannot be read.
SLOTS = (
    "augmentation/policy",
    "augmentation/mix",
    "regularization/smoothing",
    "regularization/average",
    "schedule/lr",
    "optimizer",
)

TAG = "mlflow.sharedViewState."
ACCURACY, COST = "best/val_accuracy", "cost/train_seconds"


def write_views(client: "MlflowClient", experiment: str) -> None:
    """Give the experiment its views, where this MLflow is one of those seen; a changed view replaces the old one."""
    import mlflow

    if not mlflow.__version__.startswith(SEEN):
        return
    there = client.get_experiment(experiment).tags
    for key, (name, state) in views().items():
        value = json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state)})
        if there.get(f"{TAG}{key}") != value:
            client.set_experiment_tag(experiment, f"{TAG}{key}", value)


def view_links(address: str, experiment: str, version: str) -> dict[str, str]:
    """Where each view is shown, by its name; the plain experiment for versions that were not seen."""
    page = f"{address.rstrip('/')}/#/experiments/{experiment}/runs"
    if not version.startswith(SEEN):
        return {"Runs": page}
    query = "compareRunsMode=CHART&workflowType=machine_learning"
    return {name: f"{page}?viewStateShareKey={key}&{query}" for key, (name, _) in views().items()}


def views() -> dict[str, tuple[str, dict[str, Any]]]:
    """{key: (name, state)}; the first holds all charts, as the page to begin with."""
    techniques = [parallel("By technique", [*SLOTS], [ACCURACY, "test/accuracy"])]
    costs = [
        scatter("Accuracy against training time", COST, ACCURACY),
        scatter("Accuracy against compute per image", "cost/flops_per_image", ACCURACY),
        scatter("Accuracy against learning rate", "hp/log10_lr", ACCURACY),
    ]
    curves = [
        line("Validation accuracy", ["val/accuracy"]),
        line("Validation loss", ["val/loss"]),
        line("Training loss", ["train/loss"]),
        line("Learning rate", ["train/lr"]),
    ]
    return {
        "sota-exp": ("sota_exp: techniques, cost, curves", state(techniques=techniques, cost=costs, curves=curves)),
        "sota-exp-techniques": ("sota_exp: by technique", state(techniques=techniques)),
        "sota-exp-cost": ("sota_exp: accuracy against cost", state(cost=costs)),
        "sota-exp-curves": ("sota_exp: learning curves", state(curves=curves)),
    }


def state(**sections: list[dict[str, Any]]) -> dict[str, Any]:
    """The page's state: what is searched and sorted, the table's columns, and the charts by section."""
    titles = {"techniques": "Techniques", "cost": "Cost", "curves": "Learning curves"}
    columns = [
        "metrics.`test/accuracy`",
        f"metrics.`{ACCURACY}`",
        f"metrics.`{COST}`",
        "params.`recipe`",
        "params.`data`",
    ]
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunSections": [
            {
                "uuid": name,
                "name": titles[name],
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
            }
            for name in sections
        ],
        "compareRunCharts": [
            {**chart, "metricSectionId": name} for name, charts in sections.items() for chart in charts
        ],
    }


def card(kind: str, title: str, **fields: Any) -> dict[str, Any]:
    uuid = f"{kind.lower()}-{title.lower().replace(' ', '-')}"
    return {"type": kind, "uuid": uuid, "displayName": title, "deleted": False, "isGenerated": False, **fields}


def parallel(title: str, params: list[str], metrics: list[str]) -> dict[str, Any]:
    return card("PARALLEL", title, selectedParams=params, selectedMetrics=metrics, showAllRuns=True)


def scatter(title: str, x: str, y: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return card("SCATTER", title, runsCountToCompare=100, **axes)


def line(title: str, metrics: list[str]) -> dict[str, Any]:
    return card(
        "LINE",
        title,
        metricKey=metrics[0],
        selectedMetricKeys=metrics,
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
