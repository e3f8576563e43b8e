"""The order of copies and steps: one batch ahead, each once, the last one too, errors after the batches before them."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from sota_exp.training import copy_ahead as module
from sota_exp.training.copy_ahead import CudaCopyStream, copy_ahead
from tests.fake_cuda import CUDA, fake_cuda

CPU = torch.device("cpu")


class Recorded:
    """A stream that notes what is queued, with the number in a batch as its event."""

    def __init__(self) -> None:
        self.queued: list[str] = []

    def copy(self, tensor: Tensor) -> tuple[Tensor, object]:
        self.queued.append(f"copy {int(tensor)}")
        return tensor + 100, int(tensor)

    def hand_over(self, tensor: Tensor, event: object) -> None:
        assert int(tensor) == event + 100, "the event of this copy, not of the next one"
        self.queued.append(f"wait for {event}")


def load(num: int, error: Exception | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    for number in range(num):
        yield torch.tensor(number), torch.tensor([number])
    if error is not None:
        raise error


def steps(stream: Recorded, num: int, error: Exception | None = None) -> list[str]:
    for crops, positions in copy_ahead(load(num, error), CPU, stream):
        assert int(crops) == 100 + int(positions)
        stream.queued.append(f"step {int(positions)}")
    return stream.queued


def test_a_copy_is_queued_before_the_step_before_it() -> None:
    assert steps(Recorded(), 3) == [
        *("copy 0", "copy 1", "wait for 0", "step 0", "copy 2", "wait for 1", "step 1", "wait for 2", "step 2"),
    ]


@pytest.mark.parametrize("num", [0, 1, 2, 17])
def test_every_batch_is_copied_and_trained_once_in_order(num: int) -> None:
    queued = steps(Recorded(), num)
    for kind in ("copy", "wait for", "step"):
        assert [word for word in queued if word.startswith(kind)] == [f"{kind} {number}" for number in range(num)]
    at = queued.index
    assert all(at(f"copy {number + 1}") < at(f"step {number}") for number in range(num - 1))
    assert all(at(f"step {number}") < at(f"copy {number + 2}") for number in range(num - 2)), "one ahead, not more"


def test_an_error_of_the_loader_comes_after_the_batches_before_it() -> None:
    stream = Recorded()
    with pytest.raises(ValueError, match="unreadable"):
        steps(stream, 2, ValueError("unreadable"))
    assert stream.queued == ["copy 0", "copy 1", "wait for 0", "step 0", "wait for 1", "step 1"]


def test_who_stops_iterating_closes_the_loader() -> None:
    closed = []

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        try:
            yield from load(9)
        finally:
            closed.append(True)

    loader = batches()
    for _ in copy_ahead(loader, CPU, Recorded()):
        break
    loader.close()
    assert closed == [True]


def test_on_the_cpu_batches_pass_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CudaCopyStream", lambda _: pytest.fail("no stream"))
    batches = list(load(3))
    found = list(copy_ahead(iter(batches), CPU))
    assert all(one[0] is other[0] and one[1] is other[1] for one, other in zip(found, batches, strict=True))


class FakeStream:
    """A CUDA stream that notes its calls."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def record_event(self) -> str:
        self.calls.append(f"{self.name} records")
        return f"event of {self.name}"

    def wait_event(self, event: str) -> None:
        self.calls.append(f"{self.name} waits for {event}")

    def __enter__(self) -> None:
        self.calls.append(f"in {self.name}")

    def __exit__(self, *_: object) -> None:
        self.calls.append(f"out of {self.name}")


def test_on_cuda_the_computing_stream_waits_and_the_memory_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    copies, computing = FakeStream(calls, "copies"), FakeStream(calls, "computing")
    with fake_cuda() as mode, monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "Stream", lambda device: copies)
        patch.setattr(torch.cuda, "stream", lambda stream: stream)
        patch.setattr(torch.cuda, "current_stream", lambda device: computing)
        patch.setattr(Tensor, "record_stream", lambda tensor, stream: calls.append(f"kept for {stream.name}"))
        mode.may_wait = False
        stream = CudaCopyStream(CUDA)
        copied, event = stream.copy(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        assert copied.device == CUDA
        stream.hand_over(copied, event)
        resident, _ = stream.copy(copied)
        assert resident is copied, "nothing to copy"
    assert calls[:5] == ["in copies", "out of copies", "copies records", "computing waits for event of copies",
                         "kept for computing"]  # fmt: skip
