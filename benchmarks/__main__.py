"""`make bench`: every benchmark, its ratios on the terminal and in benchmarks/results.json."""

import json
from pathlib import Path

import torch

from benchmarks import augmentation, sampler


def main() -> None:
    torch.set_num_threads(1)
    rows = [*(augmentation.measure(size) for size in (32, 128)), sampler.measure()]
    for row in rows:
        size = f", {row['image_size']} px" if row["image_size"] else ""
        print(f"{row['name']}{size}: {row['ratio']} × (ours {row['ours']}, peer {row['peer']} {row['unit']})")
    Path(__file__).with_name("results.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")


main()
