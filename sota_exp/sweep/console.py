"""A run of a sweep on the terminal: one line when it begins, and a status line that follows its epochs."""

from typing import Any

from rich.markup import escape
from rich.status import Status

from sota_exp.report.terminal import console
from sota_exp.training.listener import Listener, Plan


class QuietListener(Listener):
    """words: which run it is."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.console = console()
        self.status: Status | None = None

    def started(self, plan: Plan) -> None:
        resumed = f" [yellow]resumes at step {plan.first_step:,}[/]" if plan.first_step else ""
        self.console.print(f"[bold]{escape(self.words)}[/]{resumed}", soft_wrap=True)
        self.epochs = plan.total_steps // plan.steps_per_epoch
        if self.console.is_terminal:
            self.status = self.console.status("training")
            self.status.start()

    def epoch_done(self, epoch: dict[str, Any]) -> None:
        if self.status is not None:
            progress = f"epoch {epoch['epoch'] + 1}/{self.epochs}, val accuracy {epoch['val/accuracy']:.4f}"
            self.status.update(progress)

    def ended(self, result: dict[str, Any]) -> None:
        if self.status is not None:
            self.status.stop()
