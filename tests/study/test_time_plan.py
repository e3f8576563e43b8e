"""The plan of `study.time`: its variants, that it is measured once, and what it refuses."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sota_exp.errors import ConfigError
from sota_exp.preview.timing import CostEstimate
from sota_exp.study import cost_estimate, time_plan
from sota_exp.study.afford import RUN_OVERHEAD
from sota_exp.study.arms import compose_arms
from sota_exp.study.cost_estimate import RunCost
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import PlannedStudy, StudyRuns
from sota_exp.study.settings import StudySettings
from sota_exp.study.terminal_time import describe_choice, format_time_plan
from sota_exp.study.time_plan import PLAN_FILE, list_variants, plan_by_time, require_open_seeds
from tests.study.studies import STANDARD, study
from tests.study.test_arms import base, ladder
from tests.study.test_terminal import printed

COUNTS, OF_FOLDS = {"train": 192, "val": 24, "test": 24}, {"train": 173, "val": 19, "test": 48}


def made(*overrides: str, **changes: Any) -> PlannedStudy:
    """A ladder of two steps on fake data, of twenty epochs: the recipe trains for `scale.long_epochs`."""
    given = base("scale.epochs=12", "scale.long_epochs=20", *overrides)
    arms = compose_arms(ladder(given, "ema", "mixup"), given)
    return replace(study([*arms.ready], **changes), arms=arms)


@pytest.mark.parametrize(
    ("given", "lengths", "folds"),
    [
        ([], [20, 10, 5], [1, 5]),
        (["scale.epochs=12"], [20], [1, 5]),
        (["schedule.length.epochs=20"], [20], [1, 5]),
        (["data/split=holdout"], [20, 10, 5], [1]),
        (["data/split=holdout", "scale.long_epochs=20"], [20], [1]),
    ],
)
def test_what_the_command_fixes_is_in_every_variant(given: list[str], lengths: list[int], folds: list[int]) -> None:
    found = list_variants(made(), given, COUNTS, lambda: OF_FOLDS)
    assert [(each.folds, each.epochs) for each in found] == [(fold, num) for fold in folds for num in lengths]
    assert [each.num_tested for each in found] == [240 if each.folds > 1 else 24 for each in found]
    for each in found:
        assert ("data/split=cross_validation" in each.overrides) == (each.folds > 1)
        assert (f"scale.long_epochs={each.epochs}" in each.overrides) == (each.epochs < 20)
        assert (f"scale.epochs={12 * each.epochs // 20}" in each.overrides) == (each.epochs < 20)
        assert each.share == each.epochs / 20


@pytest.mark.parametrize("num_test", [999, 1000])
def test_folds_are_offered_where_test_images_are_few_and_can_be_cut(num_test: int) -> None:
    counts = {"train": 8 * num_test, "val": num_test, "test": num_test}
    found = list_variants(made(), [], counts, lambda: OF_FOLDS)
    assert {each.folds for each in found} == ({1, 5} if num_test < 1000 else {1})
    assert {each.folds for each in list_variants(made(), [], COUNTS, dict)} == {1}


@pytest.mark.parametrize(
    ("given", "looks", "words"),
    [
        (["study.seeds=8"], None, "study.time=2h chooses the seeds, and so does study.seeds"),
        ([], [8, 12], r"and so does study.looks=\[8, 12\]"),
    ],
)
def test_the_seeds_are_said_once(given: list[str], looks: Any, words: str) -> None:
    settings = StudySettings(**(STANDARD | {"time": "2h", "looks": looks}))
    with pytest.raises(ConfigError, match=words):
        require_open_seeds(settings, given)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Costs instead of measurements; lists the studies that were measured."""
    asked: list[str] = []

    def measure(of: PlannedStudy, num_at_once: int) -> dict[str, RunCost | str]:
        asked.append(of.settings.kind)
        cost = CostEstimate(train=8.0, validate=1.0, evaluate=0.5)
        return {arm.name: RunCost(seconds=cost, images=1920, counts=COUNTS, trains=True) for arm in of.arms.ready}

    monkeypatch.setattr(time_plan, "estimate_arm_costs", measure)
    monkeypatch.setattr(time_plan, "count_images", lambda configuration: OF_FOLDS)
    monkeypatch.setattr(time_plan, "measure_slowdown", lambda: 1.0)
    return asked


def plan(directory: Path, of: PlannedStudy, given: Sequence[str] = (), num_at_once: int = 1) -> dict[str, Any]:
    runs = StudyRuns.read(of, StudyFiles(directory=directory), {})
    return plan_by_time(directory, of, runs, given, lambda settings, more: made(*more), time.monotonic(), num_at_once)


def test_a_plan_is_measured_once_until_the_study_or_its_time_is_another(tmp_path: Path, measured: list[str]) -> None:
    first = plan(tmp_path, made(time="1h"))
    assert plan(tmp_path, made(time="1h")) == json.loads((tmp_path / PLAN_FILE).read_text())
    assert len(measured) == 1 and first["recommended"] is not None and first["noise"]["sd"] > 0.09
    plan(tmp_path, made(time="2h"))
    plan(tmp_path, made("batch_size=8", time="2h"))
    plan(tmp_path, made("batch_size=8", time="2h", smallest_effect=0.1))
    assert len(measured) == 4


def test_only_a_plan_that_is_not_kept_says_that_arms_are_measured(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = RunCost(seconds=CostEstimate(train=8.0, validate=1.0, evaluate=0.5), images=1, counts=COUNTS, trains=True)
    monkeypatch.setattr(cost_estimate, "estimate_run_cost", lambda arm, num_at_once, trains: cost)
    monkeypatch.setattr(time_plan, "estimate_arm_costs", cost_estimate.estimate_arm_costs)
    said = [(plan(tmp_path, made(time="1h")), "".join(capsys.readouterr()))[1] for _ in range(2)]
    assert "arms are measured" in said[0] and not said[1]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("allowed", ["1h", "60s", "1s"])
def test_the_plan_fits_a_terminal(tmp_path: Path, measured: list[str], width: int, allowed: str) -> None:
    found = plan(tmp_path, made(time=allowed))
    text = printed(format_time_plan(found, allowed), width=width)
    words = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= width and f"What {allowed} can buy" in text
    assert "for other images like these" in words and "a fifth of 24 test images change sides" in words
    assert ("→ ladder" in words) == (allowed == "1h") == (found["recommended"] is not None)
    if found["recommended"] is not None:
        option = found["options"][found["recommended"]]
        assert option["epochs"] == 20 and option["num_tested"] == 240 and option["seeds"] % 5 == 0
        assert describe_choice(found) in words and "20 epochs as configured" in words
    else:
        assert ("Not one seed of every arm." in text) == (allowed == "1s") == (not found["options"])
        assert "Nothing is recommended: no verdict is possible with so few seeds: 6 seeds of every arm" in words
        assert "What would change that (--plan measures it): study.time=" in words


def test_an_arm_that_cannot_be_measured_is_named_and_asked_again(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = time_plan.estimate_arm_costs
    monkeypatch.setattr(time_plan, "estimate_arm_costs", lambda *given: measure(*given) | {"mixup": "too large"})
    words = " ".join(printed(format_time_plan(plan(tmp_path, made(time="1h")), "1h")).split())
    assert "Not measured: mixup: too large. They are taken to cost what the first other arm does." in words
    monkeypatch.setattr(time_plan, "estimate_arm_costs", measure)
    assert "Not measured" not in printed(format_time_plan(plan(tmp_path, made(time="1h")), "1h"))
    assert len(measured) == 2


def test_runs_at_a_time_take_the_time_of_one(tmp_path: Path, measured: list[str]) -> None:
    one, two = (plan(tmp_path, made(time="10m"), num_at_once=num) for num in (1, 2))
    pairs = list(zip(one["options"], two["options"], strict=True))
    assert pairs and all(two["seeds"] > one["seeds"] and two["seconds"] <= 600 for one, two in pairs)
    assert one["seconds_per_run"] == two["seconds_per_run"]
    assert "What 10m can buy, 2 runs at a time" in printed(format_time_plan(two, "10m"))


def test_on_a_busy_machine_what_is_not_measured_takes_longer_too(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = plan(tmp_path / "idle", made(time="10m"))["seconds_per_run"]
    monkeypatch.setattr(time_plan, "measure_slowdown", lambda: 9.0)
    assert plan(tmp_path / "busy", made(time="10m"))["seconds_per_run"] == pytest.approx(idle + 8 * RUN_OVERHEAD)


def test_where_no_arm_can_be_measured_nothing_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_plan, "estimate_arm_costs", lambda of, num: {"baseline": "data.root: no such folder"})
    words = "study.time=1h: Not measured: all arms: data.root: no such folder$"
    with pytest.raises(ConfigError, match=words):
        plan(tmp_path, made(time="1h"))
