"""The end of a sweep: confirmation, `sweep.json`, tables, report, MLflow, and the summary on the terminal."""

import json
import logging
from typing import Any

from sota_exp.config.search_path import list_directory_words
from sota_exp.config.shell_words import join_command
from sota_exp.errors import Interrupted, RunFailed
from sota_exp.report.sweep.page import format_sweep_note
from sota_exp.report.sweep.terminal import build_sweep_summary
from sota_exp.report.terminal import make_console
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.sweep.confirm_runs import Confirmation
from sota_exp.sweep.space import is_search
from sota_exp.sweep.storage import retry_while_disconnected
from sota_exp.sweep.sweep import Sweep
from sota_exp.sweep.sweep_json import build_summary, format_trials_csv

log = logging.getLogger(__name__)


def finish_sweep(sweep: Sweep, stopped: str | None) -> None:
    """Confirm, write `sweep.json`, `trials.csv`, `sweep.md` and the report, update MLflow, and print the summary.

    stopped: why the search ended before `n_trials`.

    Raises:
        RunFailed: no trial is complete or pruned.
    """
    summary = _write_summary(sweep, stopped, None)
    if not summary["trials"]["complete"] and not summary["trials"]["pruned"]:
        last = summary["failures"][-1]["reason"] if summary["failures"] else "no trial was run"
        raise RunFailed(f"no trial of {summary['name']} is complete or pruned; the last reason: {last}")
    confirmation = Confirmation.of(sweep, summary)
    summary = _write_summary(sweep, stopped, confirmation.run() if confirmation is not None else None)
    _write_page(sweep)
    for part in build_sweep_summary(summary, sweep.directory):
        make_console().print(part, soft_wrap=isinstance(part, str))
    _update_mlflow(sweep, "FINISHED")


def _write_page(sweep: Sweep) -> None:
    """Write the report; an error is only logged: a sweep is complete without them."""
    from sota_exp.report.sweep.page import write_sweep_report

    try:
        write_sweep_report(sweep.directory)
    except Exception as error:
        log.warning("the report of the sweep could not be written: %s: %s", type(error).__name__, error)


def write_unfinished_sweep(sweep: Sweep, error: RunFailed | Interrupted | KeyboardInterrupt) -> None:
    """Write what is known of a sweep that fails or is interrupted; an error while doing so is only logged."""
    try:
        _write_summary(sweep, str(error.__cause__ or error) or "interrupted", None)
        _update_mlflow(sweep, "FAILED" if isinstance(error, RunFailed) else "KILLED")
    except Exception as other:
        log.warning("the summary of the sweep could not be written: %s: %s", type(other).__name__, other)


def _write_summary(sweep: Sweep, stopped: str | None, confirmed: dict[str, Any] | None) -> dict[str, Any]:
    """Write `sweep.json`, `trials.csv` and `sweep.md`; returns the content of `sweep.json`.

    confirmed: the result of the confirmation; None keeps that of the existing file.
    """
    summary = retry_while_disconnected(
        lambda: build_summary(sweep.study, sweep.goal.objectives, sweep.goal.directions, sweep.n_trials)
    )
    path = sweep.directory / "sweep.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    summary |= {
        "command": _format_command(sweep),
        "fixed": [f"{key}={value}" for key, value in sweep.space.result_overrides.items()],
        "stopped": stopped,
        "confirm": confirmed or before.get("confirm"),
        "storage": sweep.store.url.split("@")[-1],
        "study": sweep.store.name,
    }
    write_recomputable_text(path, json.dumps(summary, indent=2, default=float) + "\n")
    write_recomputable_text(sweep.directory / "trials.csv", format_trials_csv(summary))
    write_recomputable_text(sweep.directory / "sweep.md", format_sweep_note(summary))
    return summary


def _format_command(sweep: Sweep) -> str:
    """The command line that repeats this sweep."""
    hydra = sweep.config.hydra
    choice = hydra.runtime.choices.get("search")
    overrides = [str(item) for item in hydra.overrides.task if not is_search(str(item))]
    overrides += [str(item) for item in hydra.overrides.hydra if str(item).startswith("hydra.sweep")]
    own = list_directory_words(hydra)
    return join_command(["sota-exp", "sweep", *own, *([f"search={choice}"] if choice else []), *overrides])


def _update_mlflow(sweep: Sweep, status: str) -> None:
    from sota_exp.tracking.listeners import print_dimly
    from sota_exp.tracking.mlflow_parent import end_parent_run

    for line in end_parent_run(sweep.directory, sweep.config.get("tracking") or {}, status):
        print_dimly(line)
