"""Copies of the next batch to the GPU while it computes the current one."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

#: Crops, uint8 [b, 3, S, S], and their positions in the training set, int64 [b].
Crops = tuple[Tensor, Tensor]


class CopyStream(Protocol):
    """A stream of copies beside the one that computes."""

    def copy(self, tensor: Tensor) -> tuple[Tensor, Any]:
        """The tensor [...] on the device, and an event after its copy; the host does not wait."""

    def hand_over(self, tensor: Tensor, event: Any) -> None:
        """Let the computing stream use a copy [...]: it waits for the event, and the copy's memory waits for it."""


class CudaCopyStream:
    """The copies to one CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def copy(self, tensor: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        with torch.cuda.stream(self.stream):
            copied = tensor.to(self.device, non_blocking=True)  # from memory that the loader pinned
        return copied, self.stream.record_event()

    def hand_over(self, tensor: Tensor, event: torch.cuda.Event) -> None:
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(event)  # of this copy alone: the next one is queued already
        tensor.record_stream(computing)  # Else a later copy could get its memory while a step still reads it.


def copy_ahead(batches: Iterable[Crops], device: torch.device, stream: CopyStream | None = None) -> Iterator[Crops]:
    """The batches with their crops on the device, copied one batch ahead of the step.

    On CUDA the copy of a batch is queued before the one before it is yielded, so it runs beside that step. Elsewhere
    nothing is copied, nor are crops that are on the device already. stream: of the copies; by default a new one on
    CUDA, and none elsewhere.

    Raises:
        Exception: of the loader or the copy, after the batches before it.
    """
    if stream is None and device.type == "cuda":
        stream = CudaCopyStream(device)
    if stream is None:
        yield from batches
        return
    source, failure = iter(batches), None
    ahead: tuple[Tensor, Any, Tensor] | None = None
    while failure is None:
        ready, ahead = ahead, None
        try:
            crops, positions = next(source)
            ahead = (*stream.copy(crops), positions)
        except Exception as error:  # StopIteration too
            failure = error
        if ready is not None:
            copied, event, positions = ready
            stream.hand_over(copied, event)
            yield copied, positions
    if not isinstance(failure, StopIteration):
        raise failure
