"""Resuming an interrupted training: what a checkpoint holds, how it is written, and how a training goes on from it.

A training that resumes is bitwise equal to one that was not interrupted. Within an epoch every process has its own
statistics of norm layers and totals; the main process gathers them into the checkpoint.
"""

import logging
from typing import Any

from torch import Tensor

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.runs.files import RunFiles
from sota_exp.training.distributed import World, gather_on_main
from sota_exp.training.loop import EpochRecord, TrainingState

log = logging.getLogger(__name__)


def write_checkpoint(
    files: RunFiles,
    training_fingerprint: str,
    state: TrainingState,
    epochs: list[dict[str, Any]],
    best: dict[str, Tensor],
    resumed: int,
    unclosed: EpochRecord | None,
    world: World,
) -> None:
    """Write everything that `resume` needs; every process calls it.

    epochs: the lines of `metrics.jsonl`. best: the weights of the best epoch, on the CPU, name → [...]. unclosed: an
    epoch that is trained and not validated yet.
    """
    processes = gather_on_main(state.own_state_dict(), world) if world.size > 1 else []
    if not world.is_main:
        return
    checkpoint = {
        "format": FILE_FORMAT,
        "training_fingerprint": training_fingerprint,
        "state": state.state_dict(),
        "processes": processes,
        "best": best,
        "epochs": epochs,
        "resumed": resumed,
        "unclosed": None if unclosed is None else vars(unclosed),
    }
    files.write_checkpoint(checkpoint, len(epochs))


def resume(
    checkpoint: dict[str, Any] | None, state: TrainingState, world: World
) -> tuple[list[dict[str, Any]], dict[str, Tensor], int, EpochRecord | None]:
    """Load a checkpoint, if there is one, into `state`; returns the history of the training.

    That is the lines of its epochs, the weights of the best epoch, name → [...], how often it was resumed, and an epoch
    that is to be validated first. It is logged if another number of processes wrote it, of which each had its own part
    of a batch.
    """
    if checkpoint is None:
        return [], {}, 0, None
    state.load_state_dict(checkpoint["state"])
    processes = checkpoint.get("processes") or []  # older versions and a process alone write none
    before = max(1, len(processes))
    if before == world.size and processes:
        state.load_own_state_dict(processes[world.rank])
    elif before != world.size and world.is_main:
        log.warning(
            "the checkpoint is of %d processes, and %d train on: the rest of the training is not equal to the bit",
            before,
            world.size,
        )
    unclosed = checkpoint.get("unclosed")  # older versions validated before they ended
    record = None if unclosed is None else EpochRecord(**unclosed)
    return checkpoint["epochs"], checkpoint["best"], checkpoint["resumed"] + 1, record
