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

#: The slots on the axes of the comparison by technique, until runs differ.
SLOTS = (
    "augmentation/policy",
    "augmentation/mix",
    "regularization/smoothing",
    "regularization/average",
    "schedule/lr",
    "optimizer",
)

#: More axes than this cannot be read.
MOST_SLOTS = 8

#: A sweep's own run has no scores.
NO_PARENTS = "tags.kind != 'sweep' and tags.kind != 'study'"

#: Rows grouped by sweep: the page draws no run below a closed row, and opens a group but not a parent.
BY_SWEEP = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "sweep"}]}

#: Rows grouped by the arm of a study: a mean over its seeds, and the band between its lowest and highest.
BY_ARM = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "arm"}]}

#: Runs of studies alone.
OF_ARMS = "tags.kind = 'arm'"

#: The experiment's kind, without which MLflow's page opens among traces of language models.
KIND = "mlflow.experimentKind"

TAG = "mlflow.sharedViewState."
#: What every section of charts has in common.
SECTION = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}

ACCURACY, COST = "best/val_accuracy", "cost/train_seconds"


def write_views(client: "MlflowClient", experiment: str) -> None:
    """Give the experiment its views, where this MLflow is one of those seen; their axes are the slots that vary by now."""
    import mlflow

    there = client.get_experiment(experiment).tags
    wanted = {KIND: "custom_model_development"}
    if mlflow.__version__.startswith(SEEN):
        for key, (name, state) in views(varied_slots(client, experiment)).items():
            wanted[f"{TAG}{key}"] = json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state)})
    for key, value in wanted.items():
        if there.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def varied_slots(client: "MlflowClient", experiment: str) -> list[str]:
    """The slots in which the latest runs differ; the usual ones where there are not two such slots."""
    found: dict[str, set[str]] = {}
    for run in client.search_runs([experiment], NO_PARENTS, max_results=500):
        for key, value in run.data.params.items():
            if "/" in key or key in ("optimizer", "loss", "supervision", "data", "recipe"):
                found.setdefault(key, set()).add(value)
    varied = sorted(key for key, values in found.items() if len(values) > 1)
    return varied[:MOST_SLOTS] if len(varied) > 1 else [*dict.fromkeys([*varied, *SLOTS])]


def view_links(address: str, experiment: str, version: str) -> dict[str, str]:
    """Where each view is shown, by its name; the plain experiment for versions that were not seen."""
    page = f"{address.rstrip('/')}/#/experiments/{experiment}/runs"
    if not version.startswith(SEEN):
        return {"Runs": page}
    query, named = "workflowType=machine_learning", views(list(SLOTS))
    links = {name: f"{page}?viewStateShareKey={key}&compareRunsMode=CHART&{query}" for key, (name, _) in named.items()}
    # The view brings its columns; MLflow's own table shows no score.
    return links | {"all runs, as a table": f"{page}?viewStateShareKey={next(iter(named))}&{query}"}


def views(slots: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """{key: (name, state)}; the first holds all charts, as the page to begin with."""
    techniques = [parallel("By technique", slots, [ACCURACY])]
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
        "sota-exp-arms": ("sota_exp: studies, by arm", by_arm(curves)),
    }


def by_arm(curves: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs of studies in groups of an arm each: accuracies and costs as bars, curves with bands over seeds."""
    bars = [bar("Test accuracy by arm", "test/accuracy"), bar("Validation accuracy by arm", ACCURACY)]
    costs = [scatter("Test accuracy against training time, by arm", COST, "test/accuracy")]
    grouped = {"searchFilter": OF_ARMS, "groupBy": BY_ARM, "useGroupedValuesInCharts": True}
    return state(techniques=bars, cost=costs, curves=curves) | grouped


def state(**sections: list[dict[str, Any]]) -> dict[str, Any]:
    """The page's state: what is searched and sorted, the table's columns, and the charts by section."""
    titles = {"techniques": "Techniques", "cost": "Cost", "curves": "Learning curves"}
    columns_of = {"techniques": 1, "cost": 3, "curves": 2}
    table = [
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
        "selectedColumns": table,
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
        "useGroupedValuesInCharts": False,
        "hideEmptyCharts": True,
        "groupBy": BY_SWEEP,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunSections": [
            {"uuid": name, "name": titles[name], "columns": columns_of[name], "cardHeight": 360, **SECTION}
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


def bar(title: str, metric: str) -> dict[str, Any]:
    return card("BAR", title, metricKey=metric, dataAccessKey=metric, runsCountToCompare=100)


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
