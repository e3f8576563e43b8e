"""A run of a sweep on the terminal: one line when it begins, and a status line that follows its epochs."""

from typing import Any

from rich.status import Status

from sota_exp.report.terminal import escape, make_console
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import TrainingSession, TrainingState


class JobConsole(Listener):
    """words: which run it is."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.console = make_console()
        self.status: Status | None = None

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None:
        resumed = f" [yellow]resumes at step {state.step:,}[/]" if state.step else ""
        self.console.print(f"[bold]{escape(self.words)}[/]{resumed}", soft_wrap=True)
        self.epochs = session.experiment.schedule.length.epochs
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
