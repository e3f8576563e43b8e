"""A run of a sweep on the terminal: one line when it begins, and a status line that follows its epochs."""

from typing import Any

from rich.markup import escape
from rich.status import Status

from sota_exp.report.terminal import make_console
from sota_exp.training.listener import Listener, TrainingSize


class JobConsole(Listener):
    """words: which run it is."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.console = make_console()
        self.status: Status | None = None

    def on_start(self, plan: TrainingSize) -> None:
        resumed = f" [yellow]resumes at step {plan.first_step:,}[/]" if plan.first_step else ""
        self.console.print(f"[bold]{escape(self.words)}[/]{resumed}", soft_wrap=True)
        self.epochs = plan.total_steps // plan.steps_per_epoch
        if self.console.is_terminal:
            self.status = self.console.status("training")
            self.status.start()

    def on_epoch_end(self, epoch: dict[str, Any]) -> None:
        if self.status is not None:
            progress = f"epoch {epoch['epoch'] + 1}/{self.epochs}, val accuracy {epoch['val/accuracy']:.4f}"
            self.status.update(progress)

    def on_end(self, result: dict[str, Any]) -> None:
        if self.status is not None:
            self.status.stop()
