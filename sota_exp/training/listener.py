"""Interfaces of listeners and pruners, and the request of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment
from sota_exp.training.loop import StepRecord, TrainingSession, TrainingState


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A configuration to train, the directory of the run, and the files of Hydra in it, name → text."""

    configuration: Configuration
    directory: Path
    hydra_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        return self.configuration.experiment


class Pruner:
    """Decides after every epoch whether a run is stopped early (pruned); this class never does."""

    def verdict(self, epoch: dict[str, Any]) -> str | None:
        """The reason to stop the run, or None to continue; called in the main process only.

        epoch: the line of the epoch in `metrics.jsonl`.
        """
        return None


class Listener:
    """Callbacks of a run, which must not change it. This class does nothing; subclasses override what they need.

    epoch: the line of the epoch in `metrics.jsonl`. result: the content of `result.json`.
    """

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None: ...

    def on_step(self, record: StepRecord) -> None: ...

    def on_epoch_end(self, epoch: dict[str, Any]) -> None: ...

    def on_end(self, result: dict[str, Any]) -> None: ...

    def on_failed_start(self, request: RunRequest) -> None:
        """Called instead of `on_start` when the setup of a run fails; `on_end` is called next."""
