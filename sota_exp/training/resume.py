"""Resuming an interrupted training: what a checkpoint holds, how it is written, and how a training goes on from it.

A training that resumes is bitwise equal to one that was not interrupted.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.runs.files import RunFiles
from sota_exp.training.loop import TrainingState


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a training remembers beside its state.

    epochs: the line of every epoch so far. best: the weights of the best epoch, on the CPU, name → [...].
    num_resumes: how often it was resumed.
    """

    epochs: list[dict[str, Any]]
    best: dict[str, Tensor]
    num_resumes: int


def write_checkpoint(files: RunFiles, training_fingerprint: str, state: TrainingState, progress: Progress) -> None:
    """Write everything that `resume` needs."""
    checkpoint = {
        "format": FILE_FORMAT,
        "training_fingerprint": training_fingerprint,
        "state": state.state_dict(),
        "best": progress.best,
        "resumed": progress.num_resumes,
    }
    files.write_checkpoint(checkpoint, len(progress.epochs))


def resume(files: RunFiles, state: TrainingState) -> Progress | None:
    """Load the checkpoint into `state`, and return the progress up to it; None if there is no checkpoint.

    Lines of `metrics.jsonl` that the checkpoint does not cover are left out: those epochs are trained again.
    """
    checkpoint = files.load_checkpoint()
    if checkpoint is None:
        return None
    state.load_state_dict(checkpoint["state"])
    epochs = [epoch for epoch in files.metrics() if epoch["step"] <= state.step]
    return Progress(epochs=epochs, best=checkpoint["best"], num_resumes=checkpoint["resumed"] + 1)
