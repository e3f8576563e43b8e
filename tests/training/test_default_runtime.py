"""What torchrun's processes measure without being asked: on GPUs what nobody chose, for trainings that are worth it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sota_exp.cli import train as command
from sota_exp.config import compose
from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import MEASURABLE, Experiment
from sota_exp.data.open import open_data
from sota_exp.training import autotune, default_runtime
from sota_exp.training.default_runtime import MIN_SECONDS_TO_MEASURE, ask_by_default
from tests.experiments import TINY, composed


def asked(num_processes: int, device: str, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> list[str]:
    """The fields that are measured for a command of one of `num_processes` on a kind of device."""
    for name, value in {"WORLD_SIZE": num_processes, "RANK": 0, "LOCAL_RANK": 0}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(default_runtime, "pick_device", lambda name, world: torch.device(device))
    found: list[str] = ask_by_default(composed(*TINY, *overrides), overrides).values["runtime"]["measure"]
    return found


@pytest.mark.parametrize(
    ("num_processes", "device", "overrides", "measured"),
    [
        (1, "cuda:0", (), []),
        (2, "cpu", (), []),
        (2, "cpu", ("runtime=auto",), [*MEASURABLE]),
        (2, "cuda:0", (), [*MEASURABLE]),
        (2, "cuda:0", ("runtime.checkpoint_minutes=1",), [*MEASURABLE]),
        (2, "cuda:0", ("runtime.precision=bf16", "runtime.workers=3"), ["channels_last", "threads", "compile"]),
        (2, "cuda:0", ("runtime=plain",), []),
        (2, "cuda:0", ("runtime=plain", "runtime.compile=true"), []),
        (2, "cuda:0", ("runtime=auto", "runtime.measure=[workers]"), ["workers"]),
    ],
)
def test_what_is_measured_by_default(
    num_processes: int,
    device: str,
    overrides: tuple[str, ...],
    measured: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert asked(num_processes, device, monkeypatch, *overrides) == measured


def test_the_same_values_set_by_the_command_are_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`runtime.precision=fp32` is the default, and yet a choice."""
    seen: list[Sequence[str]] = []

    def measure(experiment: Experiment, asked: Sequence[str], *_: object) -> dict[str, Any]:
        seen.append(asked)
        return {"runtime": {"measure": []}, "why": ""}

    monkeypatch.setattr(autotune, "measure_runtime", measure)
    said = ("runtime.precision=fp32",)
    given = composed(*TINY, "runtime=auto", *said)
    autotune.choose_runtime(given, tmp_path, said)
    assert seen == [[name for name in MEASURABLE if name != "precision"]]


@pytest.mark.parametrize(("seconds", "is_measured"), [(90.0, False), (150.0, True)])
def test_a_short_training_is_not_measured_for(
    seconds: float, is_measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "time_training", lambda *_: seconds)
    monkeypatch.setattr(autotune, "measure_speedup", lambda *_: 2.0)
    given = composed(*TINY, "runtime=auto", "runtime.measure=[channels_last]")
    found, why = autotune.choose_runtime(given, tmp_path, (), MIN_SECONDS_TO_MEASURE)
    assert found.values["runtime"]["channels_last"] is not is_measured and found.values["runtime"]["measure"] == []
    assert why == ("runtime: not measured for a training of 90 s" if not is_measured else why)
    (kept,) = tmp_path.glob("runtime-*.json")
    assert json.loads(kept.read_text())["why"] == why, "a repeated command asks no more"
    assert autotune.choose_runtime(given, tmp_path, ())[0].values["runtime"]["measure"] == []


def test_the_time_of_a_training_is_estimated_from_a_few_steps() -> None:
    given = composed(*TINY, "schedule.length.epochs=100").experiment
    data = open_data(given)
    device, one = torch.device("cpu"), autotune.time_training
    whole = one(given, data, given.runtime, device, 1)
    assert 0.1 < whole < 100
    assert one(given, data, given.runtime, device, 3) == pytest.approx(whole / 3, rel=0.9)
    short = composed(*TINY, "schedule.length.epochs=1", "batch_size=32").experiment
    assert one(short, data, short.runtime, device, 1) == 0, "one step is all"


def test_a_run_that_is_there_keeps_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older version, or one process, began it with the plain ones: others would be another run."""
    (tmp_path / "config.yaml").write_text("format: 3\n")
    monkeypatch.setattr(autotune, "measure_runtime", lambda *_: pytest.fail("measured"))
    given = composed(*TINY, "runtime=auto")
    found, why = autotune.choose_runtime(given, tmp_path, (), MIN_SECONDS_TO_MEASURE)
    assert (found.values["runtime"], why) == ({**given.values["runtime"], "measure": []}, "")
    assert not list(tmp_path.glob("runtime-*.json"))


def test_train_settles_the_runtime_of_torchruns_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[list[str], float]] = []

    def choose(
        configuration: Configuration, directory: Path, overrides: Sequence[str], least_seconds: float
    ) -> tuple[Configuration, str]:
        told.append((configuration.values["runtime"]["measure"], least_seconds))
        return configuration, ""

    monkeypatch.setattr(autotune, "choose_runtime", choose)
    monkeypatch.setattr(compose, "get_shared_directory", lambda: tmp_path)
    monkeypatch.setattr(default_runtime, "pick_device", lambda name, world: torch.device("cuda", 0))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for overrides in ((), ("runtime=auto",), ("runtime=plain",)):
        monkeypatch.setattr(compose, "get_job_overrides", lambda overrides=overrides: list(overrides))
        command.settle_runtime(composed(*TINY, *overrides))
    assert told == [([*MEASURABLE], MIN_SECONDS_TO_MEASURE), ([*MEASURABLE], 0.0), ([], 0.0)]
