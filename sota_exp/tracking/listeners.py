"""Listeners of a run: several combined, and the one that draws figures and starts tracking."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sota_exp.report.terminal import console
from sota_exp.stages.tracking import Follower, NoFollower, Tracking
from sota_exp.training.listener import Listener, Plan, Request
from sota_exp.training.loop import Step

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Listeners(Listener):
    """Calls several listeners in order."""

    members: tuple[Listener, ...]

    def started(self, plan: Plan) -> None:
        for member in self.members:
            member.started(plan)

    def stepped(self, record: Step) -> None:
        for member in self.members:
            member.stepped(record)

    def epoch_done(self, epoch: dict[str, Any]) -> None:
        for member in self.members:
            member.epoch_done(epoch)

    def ended(self, result: dict[str, Any]) -> None:
        for member in self.members:
            member.ended(result)

    def stillborn(self, request: Request) -> None:
        for member in self.members:
            member.stillborn(request)


@dataclass(kw_only=True)
class ShowingListener(Listener):
    """Draws the figures of the run and starts and ends its tracking; does nothing outside the main process."""

    is_main: bool
    say: Callable[[str], None]
    follower: Follower = field(default_factory=NoFollower)
    plan: Plan | None = None

    def started(self, plan: Plan) -> None:
        self.plan = plan
        if self.is_main:
            self.follower = self._tracking(plan).follow(plan.request.directory)

    def ended(self, result: dict[str, Any]) -> None:
        if self.plan is None or not self.is_main:
            return
        if self._tracking(self.plan).figures and result["metrics"] and result["status"] != "pruned":
            draw_or_warn(self.plan)
        if notice := finish_or_warn(self.follower):
            self.say(notice)

    def stillborn(self, request: Request) -> None:
        if self.is_main and (notice := finish_or_warn(request.experiment.tracking.follow(request.directory))):
            self.say(notice)

    def _tracking(self, plan: Plan) -> Tracking:
        return plan.request.experiment.tracking


def finish_or_warn(follower: Follower) -> str:
    """Finish tracking and return its notice; an error is only logged, because the run already has its result."""
    try:
        return follower.finish()
    except Exception as error:
        log.warning("tracking of this run failed: %s: %s", type(error).__name__, error)
        return ""


def print_dimly(text: str) -> None:
    console().print(text, style="dim", soft_wrap=True)


def showing(listener: Listener, say: Callable[[str], None] = print_dimly) -> Listener:
    """Combine the listener with figures and tracking. say: prints the notice of the tracking."""
    return Listeners(members=(listener, ShowingListener(is_main=os.environ.get("RANK", "0") == "0", say=say)))


def draw_or_warn(plan: Plan) -> None:
    """Draw the figures of the run; an error is only logged, because a run is complete without them."""
    from sota_exp.report.run.figures import draw_run

    try:
        draw_run(plan.request.directory)
    except Exception as error:
        log.warning("the figures of this run could not be drawn: %s: %s", type(error).__name__, error)
