"""The lines and the bar of a training: one spelling of accuracies, one estimate of the time that is left."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sota_exp.cli.multirun_table import build_multirun_table
from sota_exp.report.numbers import estimate_remaining
from sota_exp.report.sweep.tables import build_trial_table
from sota_exp.report.terminal import join_what_fits
from sota_exp.runs.chance import describe_chance
from sota_exp.runs.find import SavedRun
from sota_exp.sweep.console import JobConsole
from sota_exp.tracking.console import ConsoleListener, build_result_panel, build_score_table
from sota_exp.tracking.mlflow_note import format_scores
from sota_exp.training.listener import RunRequest
from sota_exp.training.loop import StepRecord, start_training
from tests.experiments import TINY, composed, session_of
from tests.run_directories import epoch, result, write_run


class Watch:
    """A clock that the test sets."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[ConsoleListener, Watch, io.StringIO]:
    """A listener of a training of 3 × 3 steps that began at 100 s, on a terminal."""
    watch, out = Watch(), io.StringIO()
    monkeypatch.setattr("sota_exp.tracking.console.time", watch)
    listener = ConsoleListener()
    listener.console = listener.lines = Console(file=out, width=160, force_terminal=True)
    watch.now += 50  # Opening the data is no training.
    configuration = composed(*TINY, "schedule.length.epochs=3")
    session, _ = session_of(configuration.experiment)
    listener.on_start(RunRequest(configuration=configuration, directory=tmp_path), session, start_training(session))
    assert listener.progress is not None
    listener.progress.stop()
    return listener, watch, out


def test_the_bar_and_the_lines_of_a_training_tell_the_same_time(
    watched: tuple[ConsoleListener, Watch, io.StringIO],
) -> None:
    listener, watch, out = watched
    steps = listener.session.steps_per_epoch
    assert listener.progress is not None
    for number in range(1, 4):
        watch.now = 150.0 + 30 * number
        listener.on_step(StepRecord(step=steps * number, epoch=number - 1))
        line = epoch(min(number, 2)) | {"epoch": number, "step": steps * number, "val_raw/accuracy": 0.65}
        bar = listener.progress.tasks[0].fields["left"]
        listener.on_epoch_end(line)
        told = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue()).splitlines()[-1].strip()
        assert told.startswith(f"epoch   {number}/3") and told.endswith(f"  {bar}")
        assert bar == ("1 min left", "30 s left", "scoring …")[number - 1]
        assert f"val accuracy {('70.00', '60.00', '60.00')[number - 1]} %  (raw 65.00 %)" in told
        assert listener.progress.tasks[0].fields["left"] == bar


@pytest.mark.parametrize("width", [40, 80, 100, 120])
def test_the_line_of_an_epoch_fits_its_terminal(width: int) -> None:
    parts = {
        "epoch": "epoch  13/300",
        "loss": "loss 2.1626",
        "accuracy": "val accuracy 27.71 %",
        "raw": "(raw 28.20 %)",
    }
    parts |= {"rate": "lr 1.79e-01", "speed": "12,240 images/s", "left": "1 min 38 s left"}
    line = join_what_fits(parts, ("rate", "raw", "speed"), width)
    assert len(line) <= max(width, 66) and line.startswith("epoch  13/300  loss 2.1626  val accuracy 27.71 %")
    assert line.endswith("1 min 38 s left") and ("lr" in line) == (width == 120) and ("raw" in line) == (width >= 100)


def test_the_bar_counts_images(watched: tuple[ConsoleListener, Watch, io.StringIO]) -> None:
    listener, _, _ = watched
    assert listener.progress is not None
    size = listener.request.configuration.values["batch_size"]
    listener.on_step(StepRecord(step=2, epoch=0))
    (task,) = listener.progress.tasks
    assert (task.completed, task.total) == (2 * size, listener.session.total_steps * size)


@pytest.mark.parametrize(
    ("seconds", "done", "total", "left"), [(30, 1, 3, 60), (5, 0, 4, 20), (9, 3, 3, 0), (9, 4, 3, 0)]
)
def test_the_rest_takes_as_long_as_what_is_done(seconds: float, done: int, total: int, left: float) -> None:
    assert estimate_remaining(seconds, done, total) == left


def test_accuracies_have_one_spelling_and_files_keep_shares(tmp_path: Path) -> None:
    """0.7 is 70.00 % in the status line, the panel, the note, the table of a multirun and that of a sweep."""
    out = Console(file=io.StringIO(), width=200)
    job = JobConsole("trial 0")
    job.epochs, job.status = 3, out.status("")
    job.on_epoch_end({"epoch": 2, "val/accuracy": 0.7})
    assert str(job.status.status) == "epoch 2/3, val accuracy 70.00 %"
    out.print(build_score_table(result()))
    run: dict[str, Any] = {"name": "0", "overrides": [], "result": result()}
    out.print(build_multirun_table(tmp_path, [run]))
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("70.00 %") == 4 and "0.7000" not in text
    assert "**70.00 %**" in format_scores(result())
    sweep = {"objective": ["val/accuracy", "cost/parameters"], "entries": [{"number": 0, "is_default": True}]}
    ranking = [{"number": 0, "values": [0.7, 123456.0], "knobs": {}}]
    trials = build_trial_table(sweep | {"ranking": ranking}, 5)
    assert trials.names[1] == "val/accuracy, %" and trials.rows[0][1:3] == ["70.00", "123,456"]
    assert SavedRun.read(write_run(tmp_path / "run")).metrics["val/accuracy"] == 0.7


def test_a_training_at_chance_level_says_so_at_its_end() -> None:
    """A network that exploded on 192 photographs ended in a green box, and named flowers afterwards."""
    whole = result() | {"kappa": 0.0, "confusion_matrix": [[25, 25], [25, 25]]}
    for accuracy, words in ((0.5, "At chance level: always naming the most frequent class has 50.00 %"), (0.7, "")):
        found = whole | {"metrics": whole["metrics"] | {"test/accuracy": accuracy}}
        assert describe_chance(found).startswith(words) and bool(describe_chance(found)) == bool(words)
        out = Console(file=io.StringIO(), width=200)
        out.print(build_result_panel(found, "outputs/run"))
        assert ("At chance level" in out.file.getvalue()) == bool(words)
