"""Effects of a study, estimated again on images that no run of it has seen: do its intervals hold?

python -m benchmarks.held_out STUDY DIR FILE: DIR has a folder `test` of images in the classes of the study. Each run is
evaluated on them, beside its files; called again, what was evaluated is read. FILE gets, as JSON, the accuracies on them,
and for each effect of a screening, or each arm less what it is compared with: that of the study, its interval for new
training runs on new images, and the effect on the images of DIR. For a screening also what the draw of the images, of both
parts, explains of their difference, as a standard error.

The same networks stand on both sides, so that alone is a weak test. `predict_new_trainings` is the strong one: effects of
some seeds on the study's images beside those of the other seeds on the images of DIR.
"""

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.special import stdtrit

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


def compute_weights(tree: Mapping[str, Any], techniques: Mapping[str, Any]) -> NDArray[np.float64]:
    """Weights of the arms' means in each effect of a screening, else in each difference with an interval: [effects, arms]."""
    arms = tree["arms"]
    if tree["effects"]:
        names = [effect["factor"] for effect in tree["effects"]]
        design = build_design(techniques, arms, names)
        return compute_contrasts(names, design, compute_effects(names, design, read_values(tree)))
    places = {arm["name"]: place for place, arm in enumerate(arms)}
    unit = np.eye(len(arms))
    return np.array([unit[places[arm["name"]]] - unit[places[arm["reference"]]] for arm in list_compared(tree)])


def list_compared(tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What has an interval: effects of a screening, else arms."""
    return tree["effects"] or [arm for arm in tree["arms"] if arm["reference"] and arm["new_images"]]


def read_values(tree: Mapping[str, Any]) -> NDArray[np.float64]:
    """Accuracies [arms, seeds in their order] of `study.json`, and of FILE, which has them in the same way."""
    return np.array([[arm["values"][seed] for seed in sorted(arm["values"], key=int)] for arm in tree["arms"]])


def evaluate(run: Path, images: Path) -> None:
    """Score a run on the images of `images/test`, in its folder `held_out`."""
    place = f"hydra.run.dir={run.resolve()}/held_out"
    sota_exp.evaluate(run, f"data.root={images}", "evaluation.part=test", place, "tracking=none", quiet=True)


def read_right(folder: Path) -> NDArray[np.bool_]:
    """Which images of test were classified correctly: bool [images]."""
    with np.load(folder / "predictions.npz") as file:
        right: NDArray[np.bool_] = file["test_logits"].argmax(1) == file["test_labels"]
    return right


def predict_new_trainings(
    design: NDArray[np.int64], values: NDArray[np.float64], again: NDArray[np.float64], errors: Sequence[float]
) -> tuple[int, int]:
    """How many effects of held-out seeds on unseen images lie in the 95 % prediction interval of the other seeds, of how many.

    All ways to take half of the seeds (the larger half), for each effect of the design; they share trainings, so they are no
    independent tests. values, again: accuracies [cells, seeds] on the study's and on unseen images. errors: of the draw of
    both parts' images, for each effect.
    """
    names, seeds = [str(place) for place in range(design.shape[1])], range(values.shape[1])
    weights = compute_contrasts(names, design, compute_effects(names, design, values))
    inside = ways = 0
    for own in itertools.combinations(seeds, (len(seeds) + 1) // 2):
        others = [seed for seed in seeds if seed not in own]
        found = compute_effects(names, design, values[:, list(own)])
        for effect, row, error in zip(found, weights, errors, strict=True):
            noise = effect.standard_error**2 * (1 + len(own) / len(others)) + error**2
            away = abs(float(row @ again[:, others].mean(1)) - effect.estimate)
            inside += bool(away <= stdtrit(effect.df, 0.975) * noise**0.5)
            ways += 1
    return inside, ways


def main(study: Path, images: Path, file: Path) -> None:
    tree = json.loads((study / "study.json").read_text())
    runs = [[study / arm["runs"][str(seed)] for seed in tree["seeds"]] for arm in tree["arms"]]
    for row in runs:
        for run in row:
            evaluate(run, images)
    unseen = np.array([[read_right(run / "held_out") for run in row] for row in runs])
    techniques = yaml.safe_load((study / "multirun.yaml").read_text())["study"]["techniques"]
    weights = compute_weights(tree, techniques)
    contrasts, means = weights @ unseen.mean(1), read_values(tree).mean(1)
    rows = []
    for each, own, contrast in zip(list_compared(tree), weights, contrasts, strict=True):
        low, high = each["new_images"]["interval"]
        estimate = each["estimate"] if tree["effects"] else each["difference"]
        assert abs(float(own @ means) - estimate) < 1e-9, each
        row = {"factor": each.get("factor") or each["name"], "estimate": estimate, "interval": [low, high]}
        rows.append(row | {"held_out": float(contrast.mean())})
    if tree["effects"]:
        seen = weights @ np.array([[read_right(run) for run in row] for row in runs]).mean(1)
        errors = np.sqrt(sum(part.var(1) / part.shape[1] for part in (seen, contrasts)))
        rows = [row | {"image_error": float(error)} for row, error in zip(rows, errors, strict=True)]
    inside = sum(row["interval"][0] <= row["held_out"] <= row["interval"][1] for row in rows)
    print(f"{inside} of {len(rows)} inside their intervals")
    scores = [
        {"name": arm["name"], "values": dict(zip(map(str, tree["seeds"]), map(float, own), strict=True))}
        for arm, own in zip(tree["arms"], unseen.mean(2), strict=True)
    ]
    found = {"images": unseen.shape[2], "effects": rows, "arms": scores}
    file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
