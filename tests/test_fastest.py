import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sota_exp import fastest
from sota_exp.config import build
from sota_exp.experiment import Experiment
from sota_exp.train import Epoch, fit, start
from tests.experiments import TINY, composed, session_of

#: How far the loss of an epoch may lie from that of plain single precision, as a share of it: sums in another order, or
#: numbers of 8 bits, over three steps of a small network.
TOLERANCES = {
    "runtime.channels_last=false": 1e-4,
    "runtime.workers=1": 0.0,
    "runtime.threads=1": 1e-4,
    "runtime.precision=bf16": 2e-2,
}


def losses(*overrides: str) -> list[float]:
    session, _ = session_of(composed(*TINY, "optimizer.lr=0.02", *overrides).experiment)
    records = [record for record in fit(session, start(session)) if isinstance(record, Epoch)]
    return [record.metrics["train/loss"] for record in records]


@pytest.mark.parametrize("override", TOLERANCES)
def test_an_option_changes_the_losses_by_rounding_alone(override: str) -> None:
    assert losses(override) == pytest.approx(losses(), rel=TOLERANCES[override], abs=0)


@pytest.mark.slow
def test_compiled_losses_agree_and_a_second_trial_compiles_nothing() -> None:
    compiled = losses("runtime.compile=true")
    assert compiled == pytest.approx(losses(), rel=1e-3)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert losses("runtime.compile=true") == compiled
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before


def tree(*overrides: str) -> dict[str, Any]:
    return composed(*TINY, *overrides).tree


def test_nothing_is_measured_unless_it_is_asked_for(tmp_path: Path) -> None:
    given = tree()
    assert fastest.settled(build(Experiment, given), given, tmp_path / "runtime.json") == (given, "")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_made_once_and_settles_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, place = tree("runtime=auto", "runtime.measure=[channels_last]"), tmp_path / "sweep" / "runtime.json"
    first, why = fastest.settled(build(Experiment, given), given, place)
    assert first["runtime"] == {**given["runtime"], "channels_last": first["runtime"]["channels_last"], "measure": []}
    assert why.startswith("runtime: channels_last=") and json.loads(place.read_text())["why"] == why
    assert {name: value for name, value in first.items() if name != "runtime"} == {
        name: value for name, value in given.items() if name != "runtime"
    }

    def never(experiment: Experiment) -> dict[str, Any]:
        raise AssertionError("measured twice")

    monkeypatch.setattr(fastest, "measured", never)
    other = tree("runtime=auto", "runtime.measure=[channels_last]", "seed=3")
    assert fastest.settled(build(Experiment, other), other, place)[0]["runtime"] == first["runtime"]


@pytest.mark.parametrize(("gain", "chosen"), [(2.0, False), (1.04, True), (0.5, True)])
def test_a_way_is_taken_where_it_gains(gain: float, chosen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastest, "race", lambda *arguments: gain)
    answer = fastest.measured(build(Experiment, tree("runtime=auto", "runtime.measure=[channels_last]")))
    assert answer["runtime"] == {"channels_last": chosen, "measure": []}


def test_a_short_training_is_not_compiled_for() -> None:
    answer = fastest.measured(build(Experiment, tree("runtime=auto", "runtime.measure=[compile]")))
    assert answer["runtime"] == {"compile": False, "measure": []} and "nothing to try" in answer["why"]


def test_a_way_is_judged_with_its_first_step() -> None:
    slow_to_start, steady = fastest.Way(first=60.0, steps=[0.1, 0.1, 9.0]), fastest.Way(first=0.2, steps=[0.2])
    assert slow_to_start.total(100) > steady.total(100) and slow_to_start.total(1000) < steady.total(1000)
