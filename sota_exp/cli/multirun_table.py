"""The table at the end of a multirun: one row per run, first the overrides that differ between runs.

While other processes train the runs, one line per run that has ended.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sota_exp.config.formats import load_yaml
from sota_exp.config.multirun import MultirunWatcher
from sota_exp.report.numbers import estimate_remaining, format_accuracy, format_duration
from sota_exp.report.terminal import escape, make_console
from sota_exp.runs.digests import read_json, try_read_json
from sota_exp.runs.lock import count_owners
from sota_exp.runs.status import COMPLETE_STATUSES

if TYPE_CHECKING:
    from rich.table import Table


class MultirunTable(MultirunWatcher):
    """Hydra callback that prints the table when all jobs of a multirun have ended."""

    def begin(self, directory: Path, num_runs: int) -> None:
        self.directory, self.began, self.told = directory, time.monotonic(), 0
        self.times = {path: path.stat().st_mtime_ns for path in directory.glob("*/result.json")}
        complete = sum((try_read_json(path) or {}).get("status") in COMPLETE_STATUSES for path in self.times)
        self.num_runs = max(num_runs - complete, 0)

    def look(self) -> None:
        for path in self.directory.glob("*/result.json"):
            changed = path.stat().st_mtime_ns
            if self.times.get(path) != changed:
                result = try_read_json(path) or {}
                self.times[path] = changed
                if result.get("status", "interrupted") != "interrupted":
                    self.told += 1
                    self.print_line(path.parent.name, result)

    def print_line(self, name: str, result: dict[str, Any]) -> None:
        """How a run ended, and how long the others will take."""
        num_runs, num_running = max(self.num_runs, self.told), count_owners(self.directory.glob("*/owner.json"))
        left = format_duration(estimate_remaining(time.monotonic() - self.began, self.told, num_runs, num_running))
        outcome = f"val accuracy {format_accuracy(result['metrics'].get('val/accuracy'))}"
        if result["status"] not in COMPLETE_STATUSES:
            outcome = f"[red]{result['status']}[/]: {escape(str(result['reason']))}"
        seconds = format_duration(sum(result["seconds"].values()))
        make_console().print(
            f"[dim]{self.told:>4}/{num_runs}[/]  run {escape(name)}  {outcome}, {seconds}  [dim]{left} left[/]",
            soft_wrap=True,
        )

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


def build_multirun_table(directory: Path, runs: list[dict[str, Any]]) -> "Table":
    """The table with the rows in the order of the jobs; the best validation accuracy is bold."""
    from rich.table import Table

    choices = [dict(item.partition("=")[::2] for item in run["overrides"]) for run in runs]
    names = sorted({name for chosen in choices for name in chosen})
    varied = [name for name in names if len({chosen.get(name) for chosen in choices}) > 1]
    table = Table(
        title=f"{len(runs)} runs in {os.path.relpath(directory)}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("run", overflow="fold")
    for name in varied:
        table.add_column(name, overflow="fold")
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
