"""Whether the disk has room for what a training will write: said before it begins."""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from rich.filesize import decimal
from torch import Tensor

from sota_exp.training.loop import TrainingSession, TrainingState

log = logging.getLogger(__name__)

#: Share of the disk in use, as `df` says it, from which on a run warns.
FULL = 0.95


def estimate_written_bytes(session: TrainingSession, state: TrainingState) -> int:
    """About the bytes of a whole run: weights, checkpoints (two, and a third while it is written), predictions.

    The optimizer is taken to keep two numbers per trained parameter, as Adam does; it has none before the first step.
    """
    weights = _count_bytes(state.model.state_dict().values())
    averaged = 0 if state.average.module is state.model else weights
    kept = 2 * _count_bytes(parameter for parameter in state.model.parameters() if parameter.requires_grad)
    checkpoint = 2 * weights + averaged + kept  # with the weights of the best epoch
    num_scored, num_classes = len(session.data.val) + len(session.data.test), len(session.data.classes)
    return 3 * weights + 3 * checkpoint + 4 * num_scored * num_classes


def warn_of_full_disk(directory: Path, num_bytes: int) -> None:
    """Log how full the disk is if it is almost full, or has less room than `num_bytes`, which the run will write."""
    usage = shutil.disk_usage(directory)
    share = usage.used / max(1, usage.used + usage.free)
    if share >= FULL or usage.free < num_bytes:
        log.warning(
            "the disk of %s is %.0f %% full: %s are free, and this run will write about %s; free some, or set "
            "hydra.run.dir=DIR on another disk. A run that finds no room goes on later from its last checkpoint",
            directory,
            100 * share,
            decimal(usage.free),
            decimal(num_bytes),
        )


def _count_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
