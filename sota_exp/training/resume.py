"""Resuming an interrupted training: what a checkpoint holds, how it is written, and how a training goes on from it.

A training that resumes is bitwise equal to one that was not interrupted.
"""

from typing import Any

from torch import Tensor

from sota_exp.config.formats import FILE_FORMAT, get_format
from sota_exp.runs.files import RunFiles
from sota_exp.training.loop import TrainingState


def write_checkpoint(
    files: RunFiles,
    training_fingerprint: str,
    state: TrainingState,
    num_epochs: int,
    best: dict[str, Tensor],
    resumed: int,
) -> None:
    """Write everything that `resume` needs. best: the weights of the best epoch, on the CPU, name → [...]."""
    checkpoint = {
        "format": FILE_FORMAT,
        "training_fingerprint": training_fingerprint,
        "state": state.state_dict(),
        "best": best,
        "resumed": resumed,
    }
    files.write_checkpoint(checkpoint, num_epochs)


def resume(files: RunFiles, state: TrainingState) -> tuple[list[dict[str, Any]], dict[str, Tensor], int]:
    """Load the checkpoint, if there is one, into `state`; returns the history of the training.

    That is the lines of the epochs that the checkpoint covers (others are trained again), the weights of the best
    epoch, name → [...], and how often the training was resumed.

    Raises:
        ConfigError: a later version wrote the checkpoint.
    """
    checkpoint = files.load_checkpoint()
    if checkpoint is None:
        return [], {}, 0
    get_format(checkpoint, files.directory / "checkpoint")
    state.load_state_dict(checkpoint["state"])
    epochs = [epoch for epoch in files.metrics() if epoch["step"] <= state.step]
    return epochs, checkpoint["best"], checkpoint["resumed"] + 1
