"""What the last epoch trains, from the first step on: for measurements that a frozen network would make too small."""

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from sota_exp.stages.model import Tuning
from sota_exp.training.loop import TrainingSession


@dataclass(frozen=True, kw_only=True)
class _LateTuning(Tuning):
    """What another tuning is at a progress of the training, already before it."""

    tuning: Tuning
    progress: float

    def groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.tuning.groups(model, groups)

    def __call__(self, model: nn.Module, progress: float) -> None:
        self.tuning(model, max(progress, self.progress))


def tune_as_in_last_epoch(session: TrainingSession) -> TrainingSession:
    """The session whose every step trains the parameters that the last epoch trains."""
    model = session.experiment.model
    tuning = _LateTuning(tuning=model.tuning, progress=session.last_progress)
    return replace(session, experiment=replace(session.experiment, model=replace(model, tuning=tuning)))
