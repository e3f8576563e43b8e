"""`make bench`: every benchmark, its ratios on the terminal, in benchmarks/results.json and in docs/benchmarks.md."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import augmentation, chart, report, sampler, tracking, training, trials
from sota_exp.memory import keep_freed_memory

Rows = list[dict[str, object]]

MEASURES: tuple[Callable[[], Rows], ...] = (
    augmentation.measure,
    training.measure,
    trials.measure,
    tracking.measure,
    report.measure,
    sampler.measure,
)


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    rows: Rows = []
    for measure in MEASURES:
        for row in measure():
            print(
                f"{row['ratio']} ×, goal {row['goal']}: {row['name']} ({row['ours']} and {row['peer']} {row['unit']})",
                flush=True,
            )
            rows.append(row)
        write(rows)  # as it goes: the whole takes half an hour


def write(rows: Rows) -> None:
    """benchmarks/results.json, and the page with its picture."""
    busy = os.getloadavg()[2] / (os.cpu_count() or 1)
    note = f"the machine's load was {busy:.1f} processes a core over the last quarter of an hour, this one included."
    Path(__file__).with_name("results.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    chart.write(rows, note)


main()
