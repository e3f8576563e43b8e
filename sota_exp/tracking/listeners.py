"""The listener that draws figures and tracks a run, around another one."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sota_exp.report.terminal import console
from sota_exp.stages.tracking import Follower, NoFollower
from sota_exp.training.listener import Listener, Plan, Request
from sota_exp.training.loop import Step

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ShowingListener(Listener):
    """Another listener, and after it figures and tracking of the run, which only the main process draws and starts."""

    inner: Listener
    is_main: bool
    say: Callable[[str], None]
    follower: Follower = field(default_factory=NoFollower)
    plan: Plan | None = None

    def started(self, plan: Plan) -> None:
        self.inner.started(plan)
        self.plan = plan
        if self.is_main:
            self.follower = plan.request.experiment.tracking.follow(plan.request.directory)

    def stepped(self, record: Step) -> None:
        self.inner.stepped(record)

    def epoch_done(self, epoch: dict[str, Any]) -> None:
        self.inner.epoch_done(epoch)

    def ended(self, result: dict[str, Any]) -> None:
        self.inner.ended(result)
        if self.plan is None or not self.is_main:
            return
        if self.plan.request.experiment.tracking.figures and result["metrics"] and result["status"] != "pruned":
            draw_or_warn(self.plan)
        self._finish(self.follower)

    def stillborn(self, request: Request) -> None:
        self.inner.stillborn(request)
        if self.is_main:
            self._finish(request.experiment.tracking.follow(request.directory))

    def _finish(self, follower: Follower) -> None:
        """Finish tracking; an error is only logged, because the run already has its result."""
        try:
            notice = follower.finish()
        except Exception as error:
            log.warning("tracking of this run failed: %s: %s", type(error).__name__, error)
            return
        if notice:
            self.say(notice)


def print_dimly(text: str) -> None:
    console().print(text, style="dim", soft_wrap=True)


def showing(listener: Listener, say: Callable[[str], None] = print_dimly) -> Listener:
    """Combine the listener with figures and tracking. say: prints the notice of the tracking."""
    return ShowingListener(inner=listener, is_main=os.environ.get("RANK", "0") == "0", say=say)


def draw_or_warn(plan: Plan) -> None:
    """Draw the figures of the run; an error is only logged, because a run is complete without them."""
    from sota_exp.report.run.figures import draw_run

    try:
        draw_run(plan.request.directory)
    except Exception as error:
        log.warning("the figures of this run could not be drawn: %s: %s", type(error).__name__, error)
