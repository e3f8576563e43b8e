"""The table at the end of a multirun: one row per run, first the overrides that differ between runs."""

import os
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.table import Table

from sota_exp.config.formats import load_yaml
from sota_exp.report.numbers import format_accuracy
from sota_exp.report.terminal import escape, make_console
from sota_exp.runs.digests import read_json


class MultirunTable(Callback):
    """Hydra callback that prints the table when all jobs of a multirun have ended."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        directory = Path(str(config.hydra.sweep.dir))
        runs = read_runs(directory)
        if runs and not (directory / "sweep.json").exists():
            make_console().print(build_multirun_table(directory, runs))


def read_runs(directory: Path) -> list[dict[str, Any]]:
    """`{name, overrides, result}` of every finished job below a multirun directory, in the order of the jobs."""
    found = []
    for result in directory.glob("*/result.json"):
        overrides = result.parent / ".hydra" / "overrides.yaml"
        listed = [str(item) for item in load_yaml(overrides.read_text())] if overrides.exists() else []
        found.append({"name": result.parent.name, "overrides": listed, "result": read_json(result)})
    return sorted(found, key=lambda run: (len(run["name"]), run["name"]))


def build_multirun_table(directory: Path, runs: list[dict[str, Any]]) -> Table:
    """The table with the rows in the order of the jobs; the best validation accuracy is bold."""
    choices = [dict(item.partition("=")[::2] for item in run["overrides"]) for run in runs]
    names = sorted({name for chosen in choices for name in chosen})
    varied = [name for name in names if len({chosen.get(name) for chosen in choices}) > 1]
    table = Table(
        title=f"{len(runs)} runs in {os.path.relpath(directory)}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("run")
    for name in varied:
        table.add_column(name)
    for heading in ("val accuracy", "test accuracy", "seconds", "status"):
        table.add_column(heading, justify="left" if heading == "status" else "right")
    accuracies = [run["result"]["metrics"].get("val/accuracy") for run in runs]
    best = max((value for value in accuracies if value is not None), default=None)
    for run, chosen, accuracy in zip(runs, choices, accuracies, strict=True):
        test, shown = run["result"]["metrics"].get("test/accuracy"), format_accuracy(accuracy)
        table.add_row(
            escape(run["name"]),
            *(escape(chosen.get(name, "")) for name in varied),
            f"[bold]{shown}[/]" if accuracy is not None and accuracy == best else shown,
            format_accuracy(test),
            f"{sum(run['result']['seconds'].values()):,.0f}",
            run["result"]["status"].replace("_", " "),
        )
    return table
