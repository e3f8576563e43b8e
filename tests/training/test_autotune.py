import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment, RuntimeSettings
from sota_exp.data.open import open_data
from sota_exp.errors import RunFailed
from sota_exp.models import small_nets
from sota_exp.training import autotune, distributed
from sota_exp.training.device import get_default_threads, set_up_process
from sota_exp.training.distributed import World
from sota_exp.training.loop import EpochRecord, StepRecord, fit, start_training
from tests.experiments import TINY, composed, session_of

#: Largest relative difference of an epoch's loss from plain single precision: sums in another order, or 8-bit
#: mantissas, over three steps of a small network.
TOLERANCES = {
    "runtime.channels_last=false": 1e-4,
    "runtime.workers=1": 0.0,
    "runtime.threads=1": 1e-4,
    "runtime.precision=bf16": 2e-2,
    "runtime.precision=fp16": 2e-3,
    "runtime.deterministic=true": 0.0,
}


def losses(*overrides: str) -> list[float]:
    session, _ = session_of(composed(*TINY, "optimizer.lr=0.02", *overrides).experiment)
    records = [record for record in fit(session, start_training(session)) if isinstance(record, EpochRecord)]
    return [record.metrics["train/loss"] for record in records]


@cache
def plain_losses() -> list[float]:
    return losses()


@pytest.mark.parametrize("override", TOLERANCES)
def test_an_option_changes_the_losses_by_rounding_alone(override: str) -> None:
    assert losses(override) == pytest.approx(plain_losses(), rel=TOLERANCES[override], abs=0)


@pytest.fixture
def one_block(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A network of one block, and the processor's word for what it can do, which PyTorch tries with three programs."""
    from torch._inductor import config  # slow to import

    monkeypatch.setitem(small_nets.SMALL_NETWORKS, "resnet_xs", ((1,), 8))
    with config.patch({"cpp.vec_isa_ok": True}):
        yield


@pytest.mark.slow
def test_compiled_losses_agree_and_a_second_trial_compiles_nothing(one_block: None) -> None:
    compiled = losses("runtime.compile=true")
    assert compiled == pytest.approx(losses(), rel=1e-3)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert losses("runtime.compile=true") == compiled
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before


def asking(*overrides: str) -> Configuration:
    return composed(*TINY, *overrides)


def test_nothing_is_measured_unless_it_is_asked_for(tmp_path: Path) -> None:
    given = asking()
    assert autotune.choose_runtime(given, tmp_path) == (given, "")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_made_once_and_settles_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, place = asking("runtime=auto", "runtime.measure=[channels_last]"), tmp_path / "sweep"
    first, why = autotune.choose_runtime(given, place)
    assert first.values["runtime"] == {
        **given.values["runtime"],
        "channels_last": first.values["runtime"]["channels_last"],
        "measure": [],
    }
    (kept,) = place.glob("runtime-*.json")
    assert why.startswith("runtime: channels_last=") and json.loads(kept.read_text())["why"] == why
    assert {name: value for name, value in first.values.items() if name != "runtime"} == {
        name: value for name, value in given.values.items() if name != "runtime"
    }

    def never(experiment: Experiment, asked: Sequence[str]) -> dict[str, Any]:
        raise AssertionError("measured twice")

    monkeypatch.setattr(autotune, "measure_runtime", never)
    other = asking("runtime=auto", "runtime.measure=[channels_last]", "seed=3")
    assert autotune.choose_runtime(other, place)[0].values["runtime"] == first.values["runtime"]


def test_another_question_has_another_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "measure_speedup", lambda *arguments: 2.0)
    answers = []
    for threads in (1, 2):
        given = asking("runtime=auto", "runtime.measure=[channels_last]", f"runtime.threads={threads}")
        answers.append(autotune.choose_runtime(given, tmp_path)[0].values["runtime"])
    assert [answer["threads"] for answer in answers] == [1, 2] and len(list(tmp_path.glob("runtime-*.json"))) == 2


def test_what_the_command_sets_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "measure_speedup", lambda *arguments: 2.0)
    given = asking("runtime=auto", "runtime.measure=[channels_last,workers]", "runtime.channels_last=true")
    said = ["seed=1", "runtime.channels_last=true"]
    found, why = autotune.choose_runtime(given, tmp_path, said)
    assert found.values["runtime"]["channels_last"] is True and "channels_last" not in why
    nothing, words = autotune.choose_runtime(given, tmp_path, [*said, "runtime.workers=0"])
    assert words == "" and nothing.values["runtime"] == {**given.values["runtime"], "measure": []}


def test_of_processes_that_train_together_the_main_one_measures_its_part_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, batch_sizes = [], []

    def measure(experiment: Experiment, asked: Sequence[str], num_processes: int, *_: object) -> dict[str, Any]:
        batch_sizes.append((experiment.batch_size, num_processes))
        return {"runtime": {"channels_last": False, "measure": []}, "why": "measured"}

    monkeypatch.setattr(autotune, "measure_runtime", measure)
    given = asking("runtime=auto", "runtime.measure=[channels_last]")
    for rank in (0, 1):
        world = World(rank=rank, size=2)
        monkeypatch.setattr(autotune, "set_up_process", lambda _, world=world: (world, torch.device("cpu")))
        monkeypatch.setattr(distributed, "broadcast_from_main", lambda answer, world: told.append(answer) or told[0])
        monkeypatch.setattr(distributed, "wait_for_main", lambda world: None)
        found, why = autotune.choose_runtime(given, tmp_path)
        assert (found.values["runtime"]["channels_last"], why) == (False, "measured")
        assert found.values["runtime"]["measure"] == []
    assert batch_sizes == [(8, 2)] and told[1] == (None, None)


def test_where_the_main_process_can_not_measure_every_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object) -> dict[str, Any]:
        raise RunFailed("disk full")

    monkeypatch.setattr(autotune, "measure_runtime", measure)
    told: list[object] = []
    monkeypatch.setattr(distributed, "broadcast_from_main", lambda answer, world: told.append(answer) or told[0])
    monkeypatch.setattr(distributed, "wait_for_main", lambda world: None)
    for rank, said in ((0, "disk full"), (1, "disk full")):
        world = World(rank=rank, size=2)
        monkeypatch.setattr(autotune, "set_up_process", lambda _, world=world: (world, torch.device("cpu")))
        with pytest.raises(RunFailed, match=said):
            autotune.choose_runtime(asking("runtime=auto"), tmp_path)


def test_a_way_that_fails_is_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> float:
        raise RuntimeError("no compiler\nand much more")

    monkeypatch.setattr(autotune, "measure_speedup", fails)
    answer = autotune.measure_runtime(asking("runtime=auto").experiment, ["channels_last"])
    assert answer["runtime"] == {"channels_last": True, "measure": []}
    assert "channels_last=false not possible: no compiler)" in answer["why"]


@pytest.mark.parametrize(("gain", "chosen"), [(2.0, False), (1.04, True), (0.5, True)])
def test_a_way_is_taken_where_it_gains(gain: float, chosen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "measure_speedup", lambda *arguments: gain)
    answer = autotune.measure_runtime(asking("runtime=auto").experiment, ["channels_last"])
    assert answer["runtime"] == {"channels_last": chosen, "measure": []}


def test_a_short_training_is_not_compiled_for() -> None:
    answer = autotune.measure_runtime(asking("runtime=auto").experiment, ["compile"])
    assert answer["runtime"] == {"compile": False, "measure": []} and "nothing to try" in answer["why"]


def way(
    first: float, steps: list[float], runtime: RuntimeSettings | None = None, taken: Sequence[float] = ()
) -> autotune.TimedTraining:
    runtime = runtime or asking().experiment.runtime
    return autotune.TimedTraining(runtime=runtime, step_seconds=(each for each in taken), first=first, steps=steps)


def test_a_way_is_judged_with_its_first_step() -> None:
    slow_to_start, steady = way(60.0, [0.1, 0.1, 9.0]), way(0.2, [0.2])
    assert slow_to_start.total(100) > steady.total(100) and slow_to_start.total(1000) < steady.total(1000)


def test_what_workers_prepared_in_the_others_turn_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(autotune.time, "sleep", waited.append)
    runtime = replace(asking().experiment.runtime, workers=2)
    prepared = way(0.0, [], runtime, [0.01, 0.02, 0.03, 0.04, 0.05, 0.25, 0.01])
    assert prepared.turn() and prepared.steps == [0.25] and waited == [0.5]
    assert not prepared.turn() and prepared.steps == [0.25]


def test_on_a_device_as_many_steps_are_taken_as_workers_prepared_and_no_more() -> None:
    """Sixteen workers have 33 batches ready: five times the eight steps that are timed together, not 33 times."""
    runtime = replace(asking().experiment.runtime, workers=16)
    many = replace(way(0.0, [], runtime, [0.001] * 5 + [0.002, 0.1]), num_together=8)
    assert many.turn() and many.steps == [0.002]


def test_a_way_has_its_own_threads_and_gives_them_back() -> None:
    before = torch.get_num_threads()
    seen = []
    with autotune.use_threads(before + 1):
        seen.append(torch.get_num_threads())
    with autotune.use_threads(None):
        seen.append(torch.get_num_threads())
    assert seen == [before + 1, before] and torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("name", "device", "streams", "cores", "tried"),
    [
        ("threads", "cpu", False, 2, ()),
        ("threads", "cpu", False, 16, (8,)),
        ("threads", "cuda", False, 16, ()),
        ("workers", "cpu", False, 16, ()),
        ("workers", "cpu", True, 16, (1,)),
        ("workers", "cuda", False, 2, (1, 2)),
        ("workers", "cuda", True, 64, (1, 4, 16)),
        ("precision", "cuda", False, 2, ("bf16",)),
        ("precision", "cuda, no bf16", False, 2, ("fp16",)),
    ],
)
def test_what_is_tried_depends_on_the_machine(
    name: str, device: str, streams: bool, cores: int, tried: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "count_usable_cpus", lambda: cores)
    kind, _, lacks = device.partition(", ")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not lacks)
    assert autotune.list_candidates(name, torch.device(kind), streams) == tried


@pytest.mark.parametrize("field", autotune.MEASURED_FIELDS)
def test_whatever_can_be_asked_for_is_tried_and_answered(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "list_candidates", lambda name, *_: {"threads": (1,), "workers": (1,)}.get(name, ()))
    answer = autotune.measure_runtime(asking("runtime=auto").experiment, [field])
    assert set(answer["runtime"]) == {field, "measure"}
    assert (" ×" in answer["why"]) == (field in ("threads", "workers"))


@pytest.mark.parametrize(("kind", "waits"), [("cpu", [1, 2, 3, 4, 5, 6]), ("cuda", [1, 3, 5])])
def test_a_device_is_waited_for_after_several_steps_only(
    kind: str, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, waited = [], []

    def take_six_steps(session: object, state: object) -> Iterator[object]:
        for step in range(1, 7):
            steps.append(step)
            yield StepRecord(step=step, epoch=0)
        yield EpochRecord(step=6, epoch=0, seconds=1.0, metrics={})

    experiment = asking().experiment
    monkeypatch.setattr(autotune, "STEPS_BETWEEN_WAITS", 2)
    monkeypatch.setattr(autotune, "fit", take_six_steps)
    monkeypatch.setattr(autotune, "open_timed_session", lambda *_: None)
    monkeypatch.setattr(autotune, "start_checked_training", lambda _: None)
    monkeypatch.setattr(autotune, "tune_as_in_last_epoch", lambda session: session)
    monkeypatch.setattr(autotune, "synchronize_device", lambda _: waited.append(len(steps)))
    data = open_data(experiment)
    assert len(list(autotune.train_and_time(experiment, data, experiment.runtime, torch.device(kind)))) == len(waits)
    assert waited == waits


def test_a_runs_threads_are_not_the_next_ones() -> None:
    before = get_default_threads()
    seen = []
    for threads in ("1", "null"):
        set_up_process(composed(*TINY, f"runtime.threads={threads}").experiment)
        seen.append(torch.get_num_threads())
    assert seen == [1, before]


HALF = ("regularization/dropout=head", "regularization.dropout.drop_rate=0.5")
TENTH = ("regularization/dropout=head", "regularization.dropout.drop_rate=0.1")
DEPTH = ("regularization/stochastic_depth=linear", "regularization.stochastic_depth.drop_path_rate=0.5")


@pytest.mark.slow
def test_compiled_blocks_compute_their_activations_again(one_block: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(small_nets.SMALL_NETWORKS, "resnet_xs", ((2,), 8))
    words = (*HALF, *DEPTH, "runtime.checkpoint_activations=true")
    assert losses("runtime.compile=true", *words) == pytest.approx(losses(*HALF, *DEPTH), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "after", [(HALF,), pytest.param((HALF, TENTH, (*HALF, *DEPTH)), marks=pytest.mark.torture)], ids=len
)
def test_compiled_networks_drop_the_same_though_others_were_compiled_before(
    after: tuple[tuple[str, ...], ...], one_block: None
) -> None:
    """The last one differs from the first in the other kind of hook alone, and draws twice in a step."""
    losses("runtime.compile=true")
    for dropped in after:
        assert losses("runtime.compile=true", *dropped) == pytest.approx(losses(*dropped), rel=1e-3), dropped
