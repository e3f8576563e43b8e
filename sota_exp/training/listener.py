"""What is asked of a run, and what whoever watches it is told."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment
from sota_exp.training.loop import Step


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for: a configuration, trained in a directory."""

    configuration: Configuration
    directory: Path

    @property
    def experiment(self) -> Experiment:
        return self.configuration.experiment


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What lies ahead, for whoever watches."""

    request: Request
    device: str
    num_train: int
    steps_per_epoch: int
    total_steps: int
    first_step: int
    parameters: int


class Referee(ABC):
    """Says after an epoch whether a run is worth going on with; asked by the main process alone."""

    @abstractmethod
    def verdict(self, epoch: dict[str, Any]) -> str | None:
        """Why the run is given up, in words; None to go on."""


class NoReferee(Referee):
    """Lets every run go on to its end."""

    def verdict(self, epoch: dict[str, Any]) -> str | None:
        return None


class Listener:
    """Watches a run; what it does never changes the run. This one does nothing: others say what they care about."""

    def started(self, plan: Plan) -> None: ...

    def stepped(self, record: Step) -> None: ...

    def epoch_done(self, epoch: dict[str, Any]) -> None: ...

    def ended(self, result: dict[str, Any]) -> None: ...

    def stillborn(self, request: Request) -> None:
        """The run failed before it could start: `ended` comes without `started`, and the files say why."""
