"""A run of a sweep on the terminal: one line when it begins, and a status line that follows its epochs."""

from collections.abc import Sequence
from typing import Any

from rich.status import Status

from sota_exp.report.numbers import format_accuracy
from sota_exp.report.terminal import escape, make_console
from sota_exp.sweep.settings import SweepSettings
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import TrainingSession, TrainingState


def format_sweep_plan(settings: SweepSettings, objectives: Sequence[str]) -> str:
    """How many trainings the sweep and its confirmation take, for the line before the first trial."""
    seeds = f" of {settings.seeds} seeds" if settings.seeds > 1 else ""
    plan = f"{settings.n_trials} trials{seeds} in all"
    confirm = settings.confirm
    if confirm.top == 0 or not any(name.startswith("val/") for name in objectives):
        return f"{plan}; no confirmation"
    choice = f"of the best {confirm.top} with {confirm.seeds} fresh seeds, then " if confirm.top > 1 else ""
    return (
        f"{plan}; then a confirmation: up to {confirm.num_runs} whole trainings, {choice}of the winner and the "
        f"recipe's own values with {confirm.seeds} other seeds (hydra.sweeper.confirm.top and .seeds; top=0: none)"
    )


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
            progress = f"epoch {epoch['epoch']}/{self.epochs}, val accuracy {format_accuracy(epoch['val/accuracy'])}"
            self.status.update(progress)

    def on_end(self, result: dict[str, Any]) -> None:
        if self.status is not None:
            self.status.stop()
