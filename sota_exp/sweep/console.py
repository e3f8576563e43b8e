"""The runs of a sweep on the terminal.

In this process: one line when a run begins, and a status line that follows its epochs. In other processes: one line per
trial that has ended, and how long the rest will take.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.status import Status

from sota_exp.report.numbers import estimate_remaining, format_accuracy, format_duration
from sota_exp.report.terminal import escape, make_console
from sota_exp.statistics.units import get_metric_format
from sota_exp.sweep.ownership import REASON
from sota_exp.sweep.settings import SweepSettings
from sota_exp.sweep.sweep import Sweep
from sota_exp.sweep.take_trial import COUNTED, ClaimedTrial
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
        self.console = make_console(is_progress=True)
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


class TrialLines:
    """One line per trial that other processes run, when it has ended."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.began, self.num_before = sweep, time.monotonic(), count_ended(sweep.get_trials())
        self.open: dict[int, ClaimedTrial] = {}

    def begin(self, batch: Sequence[ClaimedTrial]) -> Callable[[], None]:
        """Returns the function that prints those of the batch that have ended."""
        self.open = {claim.number: claim for claim in batch}
        return self.look

    def look(self) -> None:
        """Print the trials that have ended since the last look."""
        trials = self.sweep.get_trials()
        for number, claim in list(self.open.items()):
            if trials[number].state != TrialState.RUNNING:
                del self.open[number]
                outcome = format_outcome(trials[number], self.sweep.goal.objectives)
                line = f"trial {number}: {escape(claim.title)}  {outcome}  [dim]{self._format_left(trials)} left[/]"
                make_console(is_progress=True).print(line, soft_wrap=True)

    def _format_left(self, trials: Sequence[FrozenTrial]) -> str:
        """The time until `n_trials`."""
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        done, total = count_ended(trials) - self.num_before, self.sweep.n_trials - self.num_before
        return format_duration(estimate_remaining(time.monotonic() - self.began, done, total, running))


def count_ended(trials: Sequence[FrozenTrial]) -> int:
    """Trials that count towards `n_trials` and no longer run."""
    return sum(trial.state in COUNTED and trial.state != TrialState.RUNNING for trial in trials)


def format_outcome(trial: FrozenTrial, objectives: Sequence[str]) -> str:
    """How a trial ended: its state, values or reason, and the time that it took."""
    color, facts = {"complete": "green", "pruned": "yellow", "fail": "red"}, []
    if trial.state == TrialState.COMPLETE:
        measured = zip(objectives, trial.values, strict=True)
        facts += [f"{name} {get_metric_format(name).format_with_unit(value)}" for name, value in measured]
    if REASON in trial.user_attrs:
        facts.append(escape(trial.user_attrs[REASON]))
    if "seconds" in trial.user_attrs:
        facts.append(format_duration(trial.user_attrs["seconds"]))
    state = trial.state.name.lower()
    return f"[{color.get(state, 'dim')}]{state}[/] {', '.join(facts)}"
