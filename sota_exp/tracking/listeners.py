"""Who else listens to a run beside the console: several as one, and the one that shows the run elsewhere."""

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
    """Several listeners as one, in their order."""

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
    """Draws the run's pictures and has the run shown where its configuration says; main process only."""

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
        if said := finished_or_why_not(self.follower):
            self.say(said)

    def stillborn(self, request: Request) -> None:
        if self.is_main and (said := finished_or_why_not(request.experiment.tracking.follow(request.directory))):
            self.say(said)

    def _tracking(self, plan: Plan) -> Tracking:
        return plan.request.experiment.tracking


def finished_or_why_not(follower: Follower) -> str:
    """What the follower says at the end; whatever goes wrong with it is one warning, for the run has its result."""
    try:
        return follower.finish()
    except Exception as error:
        log.warning("the run is not shown elsewhere: %s: %s", type(error).__name__, error)
        return ""


def print_dimly(text: str) -> None:
    console().print(text, style="dim", soft_wrap=True)


def showing(listener: Listener, say: Callable[[str], None] = print_dimly) -> Listener:
    """The listener, and beside it what shows the run elsewhere, and says so; of several processes the first does."""
    return Listeners(members=(listener, ShowingListener(is_main=os.environ.get("RANK", "0") == "0", say=say)))


def draw_or_warn(plan: Plan) -> None:
    """Pictures are an extra: whatever goes wrong with them is one warning."""
    from sota_exp.report.run.figures import draw_run

    try:
        draw_run(plan.request.directory)
    except Exception as error:
        log.warning("the pictures of this run could not be drawn: %s: %s", type(error).__name__, error)
