"""`make bench`: every benchmark, its ratios on the terminal, in benchmarks/results.json and in docs/benchmarks.md."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import augmentation, chart, report, sampler, startup, tracking, training, trials
from sota_exp.training.memory import reuse_freed_memory

Rows = list[dict[str, object]]

MEASURES: tuple[Callable[[], Rows], ...] = (
    augmentation.measure,
    training.measure,
    trials.measure,
    startup.measure,
    tracking.measure,
    report.measure,
    sampler.measure,
)


def main(arguments: list[str]) -> None:
    """All of them, each in a process of its own so that none inherits another's memory; or the one named, whose rows go to a file."""
    if arguments:
        name, place = arguments
        torch.set_num_threads(1)
        reuse_freed_memory()
        Path(place).write_text(json.dumps(measure_of(name)()))
        return
    rows: Rows = []
    with tempfile.TemporaryDirectory() as place:
        for measure in MEASURES:
            file = Path(place) / "rows.json"
            subprocess.run([sys.executable, "-m", "benchmarks", measure.__module__, str(file)], check=True)
            for row in json.loads(file.read_text()):
                print(
                    f"{row['ratio']} ×, goal {row['goal']}: {row['name']} ({row['ours']} and {row['peer']} {row['unit']})",
                    flush=True,
                )
                rows.append(row)
            write(rows)  # as it goes: the whole takes half an hour


def measure_of(module: str) -> Callable[[], Rows]:
    return {measure.__module__: measure for measure in MEASURES}[module]


def write(rows: Rows) -> None:
    """benchmarks/results.json, and the page with its picture."""
    busy = os.getloadavg()[2] / (os.cpu_count() or 1)
    note = f"the machine's load was {busy:.1f} processes a core over the last quarter of an hour, this one included."
    Path(__file__).with_name("results.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    chart.write(rows, note)


main(sys.argv[1:])
