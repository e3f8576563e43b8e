"""`make bench`: every benchmark, its ratios on the terminal and in benchmarks/results.json."""

import json
from pathlib import Path

import torch

from benchmarks import augmentation, report


def main() -> None:
    torch.set_num_threads(1)
    rows = [augmentation.measure(size) for size in (32, 128)]
    for row in rows:
        print(
            f"{row['name']}, {row['image_size']} px: {row['ratio']} × (ours {row['ours']}, peer {row['peer']} {row['unit']})"
        )
    for row in report.measure():
        print(f"{row['name']}: {row['ours']} {row['unit']}, {row['ratio']} of the goal of {row['goal']}")
        rows.append(row)
    Path(__file__).with_name("results.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")


main()
