"""Resuming an interrupted training: what a checkpoint holds, how it is written, and how a training goes on from it.

A training that resumes is bitwise equal to one that was not interrupted.
"""

from typing import Any

from torch import Tensor

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.runs.files import RunFiles
from sota_exp.training.loop import TrainingState


def write_checkpoint(
    files: RunFiles,
    training_fingerprint: str,
    state: TrainingState,
    epochs: list[dict[str, Any]],
    best: dict[str, Tensor],
    resumed: int,
) -> None:
    """Write everything that `resume` needs.

    epochs: the lines of `metrics.jsonl`. best: the weights of the best epoch, on the CPU, name → [...].
    """
    checkpoint = {
        "format": FILE_FORMAT,
        "training_fingerprint": training_fingerprint,
        "state": state.state_dict(),
        "best": best,
        "epochs": epochs,
        "resumed": resumed,
    }
    files.write_checkpoint(checkpoint, len(epochs))


def resume(
    checkpoint: dict[str, Any] | None, state: TrainingState
) -> tuple[list[dict[str, Any]], dict[str, Tensor], int]:
    """Load a checkpoint, if there is one, into `state`; returns the history of the training.

    That is the lines of its epochs, the weights of the best epoch, name → [...], and how often it was resumed.
    """
    if checkpoint is None:
        return [], {}, 0
    state.load_state_dict(checkpoint["state"])
    return checkpoint["epochs"], checkpoint["best"], checkpoint["resumed"] + 1
