"""What pruning saved and what it cost: every pruned trial of a finished sweep is trained on to its end, from its checkpoint.

python -m benchmarks.pruning SWEEP_DIRECTORY: repeats go on; `full/` in the directory holds the completed runs.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

#: A trial among this many best would have been confirmed.
TOP = 3


def trained_on(directory: Path, number: int) -> dict[str, Any]:
    """The result of a pruned trial that was let go on; the sweep's own run stays as it is."""
    place = directory / "full" / str(number)
    if not place.exists():
        beside = place.with_name(f".{number}")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(directory / str(number), beside, ignore=shutil.ignore_patterns("tracking*"))
        beside.rename(place)
    asked = yaml.safe_load((place / ".hydra" / "overrides.yaml").read_text())
    kept = [item for item in asked if not item.lstrip("+").startswith(("search=", "tracking"))]
    program = [sys.executable, "-m", "sota_exp", "train", *kept, "tracking=none", f"hydra.run.dir={place}"]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    result: dict[str, Any] = json.loads((place / "result.json").read_text())
    return result


def main(directory: Path) -> None:
    summary = json.loads((directory / "sweep.json").read_text())
    sign = 1 if summary["direction"][0] == "maximize" else -1
    complete = [item for item in summary["entries"] if item["state"] == "complete"]
    pruned = [item for item in summary["entries"] if item["state"] == "pruned"]
    bars = sorted((sign * item["values"][0] for item in complete), reverse=True)
    full = {item["number"]: trained_on(directory, item["number"]) for item in pruned}
    reached = {number: sign * result["metrics"][summary["objective"][0]] for number, result in full.items()}
    for item in pruned:
        last = list(item["reports"].values())[-1]
        print(f"trial {item['number']}: pruned at {last:.4f}, ended at {sign * reached[item['number']]:.4f}")
    best = [number for number, value in reached.items() if value > bars[0]]
    top = [number for number, value in reached.items() if value > bars[min(TOP, len(bars)) - 1]]
    print(
        f"wrongly pruned: {len(best)} of {len(pruned)} would have been the best ({bars[0]:.4f}), {len(top)} in the top {TOP}"
    )
    for unit in ("steps", "seconds"):
        spent = sum(item[unit] for item in [*complete, *pruned])
        whole = sum(item[unit] for item in complete) + sum(amount(result, unit) for result in full.values())
        print(f"{unit}: {spent:,.0f} of {whole:,.0f}, a ratio of {spent / whole:.3f} (goal: at most 0.9)")


def amount(result: dict[str, Any], unit: str) -> float:
    return float(result["steps"] if unit == "steps" else sum(result["seconds"].values()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
