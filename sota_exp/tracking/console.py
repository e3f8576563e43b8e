"""A run on the terminal: a progress bar (only on a terminal), one line per epoch, and a summary."""

import io
import textwrap
import time
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table

from sota_exp.config.data_paths import name_data
from sota_exp.config.progress_bar import make_bar
from sota_exp.config.shell_words import quote_word
from sota_exp.models.cost import count_parameters
from sota_exp.report.changing_line import ChangingLine
from sota_exp.report.numbers import estimate_remaining, format_accuracy, format_duration
from sota_exp.report.run.facts import (
    SCORE_HEADINGS,
    find_extreme_classes,
    format_confused_pairs,
    format_model_cost,
    format_score_cells,
    list_further_scores,
    list_techniques,
)
from sota_exp.report.terminal import escape, join_what_fits, make_console, make_facts
from sota_exp.runs.chance import describe_chance
from sota_exp.runs.result_json import describe_saved_epoch
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.training.device import get_device_name
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import StepRecord, TrainingSession, TrainingState
from sota_exp.training.trained_on import format_trained_on


class ConsoleListener(Listener):
    """Prints the progress of a run. While it is entered, a notebook shows what is being done."""

    def __init__(self) -> None:
        self.console, self.lines, self.line = make_console(), make_console(is_progress=True), ChangingLine()
        self.progress: Progress | None = None
        self.has_started = False

    def __enter__(self) -> Self:
        self.line.draw(lambda: "reading the images")
        return self

    def __exit__(self, *error: object) -> None:
        self.end_bar()

    def end_bar(self) -> None:
        """Show no line any more that changes."""
        self.line.close()
        if self.progress is not None:
            self.progress.stop()

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None:
        self.line.close()
        self.request, self.session, self.first_step, self.has_started = request, session, state.step, True
        self.began = time.monotonic()
        tree, out, total_steps = request.configuration.values, self.console, session.total_steps
        model = f"{tree['model']['arch'].get('name', '')}, {count_parameters(state.model) / 1e6:.2f} M parameters"
        out.print(
            f"[bold]{tree['recipe']['name']}[/] on [bold]{escape(name_data(tree['data']))}[/], seed {tree['seed']}"
        )
        out.print(f"  {model}, on {get_device_name(session.device)}", style="dim")
        techniques = ", ".join(list_techniques(request.configuration.choices))
        lines = textwrap.wrap(
            techniques, out.width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
        out.print("\n".join(lines), style="dim")
        epochs = session.experiment.schedule.length.epochs
        size = f"{len(session.data.train):,} images × {epochs} epochs, {total_steps:,} steps of {tree['batch_size']}"
        out.print(f"  {size}; in {escape(str(request.directory))}", style="dim")
        if self.first_step:
            out.print(f"  resumes at step {self.first_step:,}", style="yellow")
        if (self.lines.is_terminal or self.lines.is_jupyter) and self.first_step < total_steps:
            self.progress = make_bar(self.lines)
            size = tree["batch_size"]
            self.task = self.progress.add_task(
                "training", total=total_steps * size, completed=self.first_step * size, left=""
            )
            if self.lines.is_terminal:
                self.progress.start()
            self.line.draw(self.draw_bar)

    def draw_bar(self) -> str:
        """The bar as text, for a notebook."""
        assert self.progress is not None
        drawn = io.StringIO()
        Console(file=drawn, width=100, force_jupyter=False).print(self.progress.get_renderable())
        return drawn.getvalue().strip()

    def on_step(self, record: StepRecord) -> None:
        if self.progress is not None:
            images = record.step * self.request.configuration.values["batch_size"]
            self.progress.update(self.task, completed=images, left=self.format_time_left(record.step))
            self.line.draw(self.draw_bar)

    def on_epoch_end(self, epoch: dict[str, Any]) -> None:
        left = self.format_time_left(epoch["step"])
        if self.progress is not None:
            self.progress.update(self.task, left=left)
        raw = f"(raw {format_accuracy(epoch['val_raw/accuracy'])})" if "val_raw/accuracy" in epoch else ""
        parts = {
            "epoch": f"epoch {epoch['epoch']:>3}/{self.session.experiment.schedule.length.epochs}",
            "loss": f"loss {epoch['train/loss']:.4f}",
            "accuracy": f"val accuracy {format_accuracy(epoch['val/accuracy'])}",
            "raw": raw,
            "rate": f"lr {epoch['train/lr']:.2e}",
            "speed": f"{epoch['images_per_second']:,.0f} images/s",
            "left": left,
        }
        self.lines.print(join_what_fits(parts, ("rate", "raw", "speed"), self.lines.width))

    def format_time_left(self, step: int) -> str:
        """The time that the rest of training and validation takes, for the bar and the lines of epochs.

        After the last step, what is still to come has no estimate: scores, files and figures.
        """
        if step >= self.session.total_steps:
            return "scoring …"
        seconds, done = time.monotonic() - self.began, step - self.first_step
        return f"{format_duration(estimate_remaining(seconds, done, self.session.total_steps - self.first_step))} left"

    def on_end(self, result: dict[str, Any]) -> None:
        self.end_bar()
        if result["status"] in COMPLETE_STATUSES:
            self.console.print(build_result_panel(result, str(self.request.directory)))


def build_score_table(result: dict[str, Any]) -> Table:
    """Table of the scores on the evaluated parts of the data, accuracies with their intervals over images."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for index, heading in enumerate(SCORE_HEADINGS):
        table.add_column(heading if index else "", justify="right" if index else "left")
    for split in result["evaluated_images"]:
        accuracy, *others = format_score_cells(result, split)
        table.add_row(split, f"[bold]{accuracy}[/]", *others)
    return table


def build_further_table(result: dict[str, Any]) -> list[Table | str]:
    """Table of means over classes, κ and metrics of one's own, and an empty line; [] where there are none."""
    rows = list_further_scores(result)
    if not rows:
        return []
    table = Table(box=None, pad_edge=False, show_edge=False)
    for index, heading in enumerate(rows[0]):
        table.add_column(escape(heading) if index else "", justify="right" if index else "left")
    for row in rows[1:]:
        table.add_row(*row)
    return [table, ""]


def add_classes(facts: Table, result: dict[str, Any]) -> None:
    """The hardest and easiest classes, those without images, and those that are confused most."""
    for name, classes in find_extreme_classes(result).items():
        facts.add_row(name, escape(classes))
    if pairs := format_confused_pairs(result):
        facts.add_row("confused", escape(pairs))


def build_evaluation_panel(result: dict[str, Any], directory: str) -> RenderableType:
    """Panel with the result of `sota-exp evaluate`, below a line on images that were trained on."""
    found, facts = result["resolution"], make_facts()
    view = found["chosen"]
    facts.add_row("view", f"{view['size']} px, cut from images whose shorter side is {view['resize']} px")
    if "curve" in found:
        verdict = "the default is kept" if view == found["default"] else "it replaces the default"
        gain, error = found["gain"], found["gain_standard_error"]
        facts.add_row(
            "search", f"choosing gains {100 * gain:+.2f} ± {100 * error:.2f} points on val, cross-fitted: {verdict}"
        )
    add_classes(facts, result)
    facts.add_row("weights", escape(result["weights"]))
    facts.add_row("files", escape(directory))
    panel = build_panel(result, facts, "evaluated")
    overlap = format_trained_on(result.get("trained_on"), result["evaluated_images"])
    return Group(f"[bold yellow]{overlap}[/]", panel) if overlap else panel


def build_result_panel(result: dict[str, Any], directory: str) -> Panel:
    """Panel with the result of a training."""
    facts = make_facts()
    facts.add_row("weights", f"{describe_saved_epoch(result)}; re-scored from the saved model")
    add_classes(facts, result)
    seconds = result["seconds"]
    training = f"training {format_duration(seconds['train'])}, {result['images_per_second']:,.0f} images/s"
    scoring = f"validation {format_duration(seconds['validate'])}; final scoring {format_duration(seconds['evaluate'])}"
    facts.add_row("time", f"{training}; {scoring}")
    facts.add_row("cost", format_model_cost(result))
    if result["reason"]:
        facts.add_row("stopped", escape(result["reason"]))
    if words := describe_chance(result):
        facts.add_row("warning", f"[bold yellow]{words}[/]")
    facts.add_row("files", escape(directory))
    facts.add_row("page", f"sota-exp report {escape(quote_word(directory))}")
    return build_panel(result, facts, result["status"].replace("_", " "))


def build_panel(result: dict[str, Any], facts: Table, title: str) -> Panel:
    """Scores above facts."""
    content = Group(build_score_table(result), "", *build_further_table(result), facts)
    return Panel(content, title=title, title_align="left", border_style="green", expand=False)
