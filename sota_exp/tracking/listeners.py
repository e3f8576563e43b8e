"""The listener that draws figures and tracks a run, around another one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sota_exp.report.terminal import make_console
from sota_exp.runs.environment import get_rank
from sota_exp.stages.tracking import NoTracker, RunTracker
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import StepRecord, TrainingSession, TrainingState

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class TrackingListener(Listener):
    """Another listener, and after it figures and tracking of the run, which only the main process draws and starts."""

    inner: Listener
    is_main: bool
    say: Callable[[str], None]
    follower: RunTracker = field(default_factory=NoTracker)
    request: RunRequest | None = None

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None:
        self.inner.on_start(request, session, state)
        self.request = request
        if self.is_main:
            self.follower = request.experiment.tracking.follow(request.directory)

    def on_step(self, record: StepRecord) -> None:
        self.inner.on_step(record)

    def on_epoch_end(self, epoch: dict[str, Any]) -> None:
        self.inner.on_epoch_end(epoch)

    def on_end(self, result: dict[str, Any]) -> None:
        self.inner.on_end(result)
        if self.request is None or not self.is_main:
            return
        if self.request.experiment.tracking.figures and result["metrics"] and result["status"] != "pruned":
            draw_or_warn(self.request.directory)
        self._finish(self.follower)

    def on_failed_start(self, request: RunRequest) -> None:
        self.inner.on_failed_start(request)
        if self.is_main:
            self._finish(request.experiment.tracking.follow(request.directory))

    def _finish(self, follower: RunTracker) -> None:
        """Finish tracking; an error is only logged, because the run already has its result."""
        try:
            notice = follower.finish()
        except Exception as error:
            log.warning("tracking of this run failed: %s: %s", type(error).__name__, error)
            return
        if notice:
            self.say(notice)


def print_dimly(text: str) -> None:
    make_console().print(text, style="dim", soft_wrap=True)


def add_tracking(listener: Listener, say: Callable[[str], None] = print_dimly) -> Listener:
    """Combine the listener with figures and tracking. say: prints the notice of the tracking."""
    return TrackingListener(inner=listener, is_main=get_rank() == 0, say=say)


def draw_or_warn(directory: Path) -> None:
    """Draw the figures of the run; an error is only logged, because a run is complete without them."""
    try:
        from sota_exp.report.run.figures import draw_run_figures

        draw_run_figures(directory)
    except Exception as error:
        log.warning("the figures of this run could not be drawn: %s: %s", type(error).__name__, error)
