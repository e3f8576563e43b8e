"""A signal, or a kill, at any batch of validation and of the final scores: the repeated run ends alike, to the bit."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from sota_exp.errors import Interrupted
from sota_exp.runs.files import RunFiles
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.run import run
from tests.training.test_run import EMA, Killed, Silent, assert_same_run, request

#: Trainings with batches of several kinds between their steps and after them.
TRAININGS = {
    "averaged": EMA,
    "statistics again": (
        "regularization/average=swa",
        "regularization.average.start=0.2",
        "regularization.average.num_snapshots=3",
    ),
    "labels of neighbours": ("supervision=label_propagation", "schedule.length.epochs=3"),
    "several views": (
        "evaluation/resolution=search",
        "evaluation/fine_tune=classifier_and_norm",
        "evaluation.fine_tune.batch_size=8",
        "schedule.length.epochs=1",
    ),
}

#: The two kinds of final scores, in which the last batch is; the other trainings have those of the first.
LATE = ("averaged", "several views")


@contextmanager
def at_batch(number: int, what: int | None) -> Iterator[list[int]]:
    """While entered, the signal `what` comes at this batch, counted from 1; None: nothing does; 0: a kill."""
    seen: list[int] = []
    original = Evaluator.normalize_on_device

    def normalize(evaluator: Evaluator, crops: Tensor) -> Tensor:
        seen.append(1)
        if len(seen) == number and what == 0:
            raise Killed
        if len(seen) == number and what is not None:
            os.kill(os.getpid(), what)
        return original(evaluator, crops)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "normalize_on_device", normalize)
        yield seen


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, int]:
    """The name of a training, its uninterrupted run, and how many batches are scored in it."""
    directory = tmp_path_factory.mktemp("reference")
    with at_batch(0, None) as seen:
        run(training(request.param, directory), Silent())
    return request.param, directory, len(seen)


def training(name: str, directory: Path) -> object:
    return request(directory, *TRAININGS[name], "evaluation.batch_size=2")


def moments(usual: tuple[float, ...], others: tuple[float, ...]) -> pytest.MarkDecorator:
    """Each training with the first usual share of its batches, two with all of these; the rest in `make torture`."""
    chosen = {(name, share) for name in TRAININGS for share in usual if name in LATE or share == usual[0]}
    rows = [
        pytest.param(name, share, marks=[] if (name, share) in chosen else pytest.mark.torture)
        for name in TRAININGS
        for share in sorted((*usual, *others))
    ]
    return pytest.mark.parametrize("reference, share", rows, indirect=["reference"])


@moments((0.4, 1.0), (0.0, 0.7))
def test_a_signal_at_a_batch_ends_the_run_before_the_next_and_the_repeated_one_ends_alike(
    reference: tuple[str, Path, int], share: float, tmp_path: Path
) -> None:
    name, expected, num_batches = reference
    moment = max(1, round(share * num_batches))
    with at_batch(moment, signal.SIGTERM) as seen, pytest.raises(Interrupted) as caught:
        run(training(name, tmp_path), Silent())
    assert caught.value.signal_number == signal.SIGTERM and len(seen) == moment
    assert RunFiles(directory=tmp_path).result()["status"] == "interrupted"
    again = Silent()
    result = run(training(name, tmp_path), again)
    assert (result["status"], result["resumed"]) == ("finished", 1)
    assert [epoch["epoch"] for epoch in again.epochs] == list(range(4 - len(again.epochs), 4)) or name != "averaged"
    assert_same_run(tmp_path, expected)


@moments((0.5,), (1.0,))
def test_a_kill_in_a_validation_is_followed_by_the_same_bits(
    reference: tuple[str, Path, int], share: float, tmp_path: Path
) -> None:
    name, expected, num_batches = reference
    with at_batch(int(share * num_batches), 0), pytest.raises(Killed):
        run(training(name, tmp_path), Silent())
    run(training(name, tmp_path), Silent())
    assert_same_run(tmp_path, expected)


def test_a_signal_while_images_are_read_for_the_first_time_ends_it_before_the_next_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = Evaluator.cut

    def cut(evaluator: Evaluator, *arguments: Any) -> Tensor:
        seen.append(1)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(evaluator, *arguments)

    monkeypatch.setattr(Evaluator, "cut", cut)
    with pytest.raises(Interrupted):
        run(training("averaged", tmp_path), Silent())
    assert len(seen) == 2


def test_an_epoch_that_was_not_validated_is_validated_first(tmp_path: Path) -> None:
    """Its steps are not taken again; it is in the checkpoint, without a line of `metrics.jsonl`."""
    with at_batch(2, signal.SIGUSR1), pytest.raises(Interrupted):
        run(training("averaged", tmp_path), Silent())
    checkpoint = RunFiles(directory=tmp_path).load_checkpoint()
    assert checkpoint is not None and (checkpoint["epochs"], checkpoint["unclosed"]["epoch"]) == ([], 0)
    assert (tmp_path / "checkpoint" / "epochs").read_text() == "0\n" and not (tmp_path / "metrics.jsonl").exists()
    again = Silent()
    run(training("averaged", tmp_path), again)
    assert again.steps == list(range(4, 10)) and [epoch["epoch"] for epoch in again.epochs] == [1, 2, 3]
