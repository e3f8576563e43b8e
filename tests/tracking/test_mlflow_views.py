"""Saved views: charts of existing metrics, for checked MLflow versions only."""

import json
from types import SimpleNamespace
from typing import Any, cast

import mlflow
import pytest

from sota_exp.tracking import mlflow_views
from sota_exp.tracking.mlflow_content import build_final_metrics, build_points
from sota_exp.tracking.mlflow_views import VIEW_TAG, build_view_links, build_views, write_views
from tests.run_directories import result, write_run


class FakeClient:
    """A fake client: an experiment with tags, and runs with parameters."""

    def __init__(self, *params: dict[str, str]) -> None:
        self.tags: dict[str, str] = {}
        self.num_set = 0
        self.runs = [SimpleNamespace(data=SimpleNamespace(params=values)) for values in params]

    def get_experiment(self, number: str) -> Any:
        return SimpleNamespace(tags=self.tags)

    def set_experiment_tag(self, number: str, key: str, value: str) -> None:
        self.tags[key] = value
        self.num_set += 1

    def search_runs(self, *arguments: Any, **options: Any) -> list[Any]:
        return self.runs


def state_of(client: FakeClient, key: str) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(json.loads(client.tags[f"{VIEW_TAG}{key}"])["state"])
    return state


def test_every_chart_is_in_a_section_and_draws_a_metric_that_runs_have(tmp_path: Any) -> None:
    from sota_exp.runs.contents import RunContent

    known = {point.key for point in build_points(RunContent.read(write_run(tmp_path / "run"), {}))} | set(
        build_final_metrics(result())
    )
    for _, state in build_views(["schedule/lr"]).values():
        sections = {section["uuid"] for section in state["compareRunSections"]}
        for chart in state["compareRunCharts"]:
            assert chart["metricSectionId"] in sections
            drawn = [chart.get("metricKey"), *chart.get("selectedMetrics", [])]
            drawn += [chart[axis]["key"] for axis in ("xaxis", "yaxis") if axis in chart]
            assert {key for key in drawn if key} <= known


def test_axes_are_the_slots_that_vary() -> None:
    client = FakeClient({"a/x": "1", "a/y": "1", "b/z": "1"}, {"a/x": "2", "a/y": "1", "b/z": "2"})
    write_views(cast(Any, client), "1")
    chart = state_of(client, "sota-exp")["compareRunCharts"][0]
    assert chart["type"] == "PARALLEL" and chart["selectedParams"] == ["a/x", "b/z"]


def test_axes_before_anything_varies() -> None:
    client = FakeClient()
    write_views(cast(Any, client), "1")
    chart = state_of(client, "sota-exp")["compareRunCharts"][0]
    assert chart["type"] == "PARALLEL" and chart["selectedParams"] == list(mlflow_views.DEFAULT_SLOTS)


def test_columns_have_room_for_their_names_and_stand_in_order() -> None:
    client = FakeClient()
    write_views(cast(Any, client), "1")
    state = state_of(client, "sota-exp")
    assert state["columnOrder"] == list(state["columnWidths"]) == ["attributes.`Run Name`", *state["selectedColumns"]]
    for name, pixels in state["columnWidths"].items():
        assert pixels >= 8 * len(name.partition(".")[2])


def test_writing_twice_changes_nothing() -> None:
    client = FakeClient()
    write_views(cast(Any, client), "1")
    first = client.num_set
    write_views(cast(Any, client), "1")
    assert client.num_set == first > 0


def test_a_version_nobody_looked_at_gets_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "__version__", "4.0.0")
    client = FakeClient()
    write_views(cast(Any, client), "1")
    assert not [key for key in client.tags if key.startswith(VIEW_TAG)]
    assert build_view_links("http://127.0.0.1:5000", "1", "4.0.0") == {
        "Runs": "http://127.0.0.1:5000/#/experiments/1/runs"
    }


def test_links_name_the_views_that_are_written() -> None:
    client = FakeClient()
    write_views(cast(Any, client), "1")
    links = build_view_links("http://127.0.0.1:5000/", "7", mlflow.__version__)
    for key, (name, _) in build_views([]).items():
        assert f"{VIEW_TAG}{key}" in client.tags
        assert f"/#/experiments/7/runs?viewStateShareKey={key}&" in links[name]
    assert "viewStateShareKey=sota-exp&workflowType" in links["all runs, as a table"]


def test_the_installed_version_was_looked_at() -> None:
    assert mlflow.__version__.startswith(mlflow_views.CHECKED_VERSIONS)


def test_tags_fit() -> None:
    client = FakeClient()
    write_views(cast(Any, client), "1")
    assert max(map(len, client.tags.values())) < 20_000
