"""All folds of a cross-validation, one run after the other: each in its folder below that of the command."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sota_exp.config import compose
from sota_exp.config.configuration import Configuration
from sota_exp.config.shell_words import join_command, quote_word
from sota_exp.config.split_of_seed import get_split, get_split_of_seed, list_split_overrides, with_split_of_seed
from sota_exp.report.folds import (
    FoldRun,
    build_folds_json,
    build_folds_table,
    describe_tested,
    write_folds,
)
from sota_exp.report.terminal import escape, make_console, shorten_path, to_rich
from sota_exp.runs.environment import changed_environment, get_rank
from sota_exp.runs.sent_position import ORIGIN_VARIABLE
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.tracking.console import ConsoleListener
from sota_exp.tracking.listeners import add_tracking
from sota_exp.tracking.mlflow_parent import end_parent_run
from sota_exp.training.listener import RunRequest
from sota_exp.training.loop import TrainingSession, TrainingState
from sota_exp.training.run import run


class FoldConsole(ConsoleListener):
    """Prints the progress of a run of a cross-validation, whose result is a row of the table at the end.

    begin: called when it starts to train, before it is tracked.
    """

    def __init__(self, begin: Callable[[], object]) -> None:
        super().__init__()
        self.begin = begin

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None:
        self.begin()
        super().on_start(request, session, state)

    def on_end(self, result: dict[str, Any]) -> None:
        self.end_bar()


def list_fold_runs(values: Mapping[str, Any]) -> list[FoldRun]:
    """The runs of a cross-validation in order: training k has the seed of the command + k."""
    split = get_split(values)
    return [
        FoldRun(**numbers, seed=values["seed"] + number, place="repeat{repeat}-fold{fold}".format(**numbers))
        for number in range(split["folds"] * split["repeats"])
        for numbers in [get_split_of_seed(values, number)]
    ]


def train_folds(
    configuration: Configuration, directory: Path, overrides: list[str], hydra_files: Mapping[str, str]
) -> float:
    """Train the missing folds, print a row for each and their mean; returns the mean validation accuracy in [0, 1].

    overrides: of the command. A fold that fails ends the command; repeating it goes on there.

    Raises:
        ConfigError, RunFailed, Interrupted: as `run`.
    """
    runs, out = list_fold_runs(configuration.values), make_console()
    results: dict[str, dict[str, Any]] = {}
    words = [*compose.get_directory_words(), *overrides, f"hydra.run.dir={directory}"]
    command = join_command(["sota-exp", "train", *words])
    is_main, has_started = get_rank() == 0, False

    def save() -> dict[str, Any]:
        found = build_folds_json(runs, results, command, directory)
        if is_main:
            write_folds(directory, found)
        return found

    for number, each in enumerate(runs):
        own = with_split_of_seed(configuration, number).with_values(seed=each.seed)
        changes = [f"seed={each.seed}", *list_split_overrides(configuration.values, number)]
        origin = {
            "kind": "fold",
            "name": f"{directory.name}: {each.label}",
            "parent": str(directory.resolve()),
            "overrides": [*overrides, *changes],
        }
        request = RunRequest(configuration=own, directory=shorten_path(directory / each.place), hydra_files=hydra_files)
        make_console(is_progress=True).print(f"[bold]{each.label}[/] [dim]({number + 1} of {len(runs)})[/]")
        with changed_environment({ORIGIN_VARIABLE: json.dumps(origin)}), FoldConsole(save) as listener:
            results[each.place] = run(request, add_tracking(listener))
        has_started |= listener.has_started
    found = save()
    out.print(to_rich(build_folds_table(found, results)))
    out.print(describe_tested(found))
    if not has_started and all(each["status"] in COMPLETE_STATUSES for each in results.values()):
        out.print("All folds were finished before; nothing was done. For others change seed or hydra.run.dir.")
    if is_main:
        for line in end_parent_run(directory, configuration.values["tracking"], "FINISHED"):
            out.print(line, style="dim", soft_wrap=True, markup=False)
    place = str(shorten_path(directory))
    for line in (place, f"sota-exp predict {quote_word(place)} new.jpg"):
        out.print(escape(line), style="dim", soft_wrap=True)
    return float(found["metrics"]["val/accuracy"]["mean"])
