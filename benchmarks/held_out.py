"""Effects of a screening study, estimated again on images that no run of it has seen: do its intervals hold?

python -m benchmarks.held_out STUDY DIR FILE: DIR has a folder `test` of images in the classes of the study. Each run is
evaluated on them, beside its files; called again, what was evaluated is read. FILE gets, as JSON, for each effect: that
of the study, its interval for new training runs on new images, and the effect on the images of DIR.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import sota_exp
from sota_exp.statistics.effects import compute_contrasts, compute_effects


def is_on(technique: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Whether a cell has a technique: by its overrides, or by those of two techniques of a slot together."""
    ways = [technique["with"], *(technique.get("beside") or {}).values()]
    return any(set(way) <= set(overrides) for way in ways)


def build_design(
    techniques: Mapping[str, Any], arms: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> NDArray[np.int64]:
    """±1 [cells, techniques]. techniques: name → what `study/techniques` has of it. arms: of `study.json`."""
    return np.array([[1 if is_on(techniques[name], arm["overrides"]) else -1 for name in names] for arm in arms])


def evaluate(run: Path, images: Path) -> float:
    """The accuracy of a run on the images of `images/test`."""
    place = f"hydra.run.dir={run.resolve()}/held_out"
    found = sota_exp.evaluate(run, f"data.root={images}", "evaluation.part=test", place, "tracking=none", quiet=True)
    return float(found.result["metrics"]["test/accuracy"])


def main(study: Path, images: Path, file: Path) -> None:
    tree = json.loads((study / "study.json").read_text())
    names, arms = [effect["factor"] for effect in tree["effects"]], tree["arms"]
    techniques = yaml.safe_load((study / "multirun.yaml").read_text())["study"]["techniques"]
    design = build_design(techniques, arms, names)
    values = np.array([[arm["values"][str(seed)] for seed in tree["seeds"]] for arm in arms])
    again = np.full_like(values, np.nan)
    for row, arm in enumerate(arms):
        for column, seed in enumerate(tree["seeds"]):
            again[row, column] = evaluate(study / arm["runs"][str(seed)], images)
        print(f"{arm['label']}: {values[row].mean():.4f}, held out {again[row].mean():.4f}", flush=True)
    weights = compute_contrasts(names, design, compute_effects(names, design, values))
    rows = []
    for effect, own in zip(tree["effects"], weights, strict=True):
        assert abs(float(own @ values.mean(1)) - effect["estimate"]) < 1e-9, effect["factor"]
        held_out, (low, high) = float(own @ again.mean(1)), effect["new_images"]["interval"]
        rows.append(
            {"factor": effect["factor"], "estimate": effect["estimate"], "interval": [low, high], "held_out": held_out}
        )
    inside = sum(row["interval"][0] <= row["held_out"] <= row["interval"][1] for row in rows)
    print(f"{inside} of {len(rows)} inside their intervals")
    file.write_text(json.dumps({"images": len(list((images / "test").rglob("*.*"))), "effects": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
