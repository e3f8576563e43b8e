"""Made studies for tests and benchmarks: `study.json` and its run directories, without training.

Accuracies, curves, logits and confusion matrices of the runs are random. The values of `study.json` are computed from
the run files by scipy or by hand, not by the package.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ECE, SECONDS = ("metrics", "test/ece"), ("seconds", "train")
COSTS = ("parameters", "flops_per_image", "peak_memory_bytes")
CLASSES = ["cat", "dog", "horse", "sheep", "wolf"]
STEPS = [
    ("baseline", "Baseline", 0.0),
    ("lr_optimizations", "LR optimizations", 0.045),
    ("trivialaugment", "TrivialAugment", 0.012),
    ("long_training", "Long training", 0.03),
    ("random_erasing", "Random erasing", -0.003),
    ("label_smoothing", "Label smoothing", 0.006),
    ("mixup", "Mixup", -0.014),
    ("cutmix", "CutMix", 0.002),
    ("weight_decay_tuning", "Weight-decay tuning", 0.004),
    ("fixres", "FixRes mitigations", 0.009),
    ("ema", "EMA", 0.013),
    ("inference_resize", "Inference-resize tuning", 0.003),
    ("repeated_augmentation", "Repeated augmentation", -0.006),
]


def write_run(place: Path, accuracy: float, seed: int, num_test: int, num_epochs: int, is_searched: bool) -> None:
    """Write the files of a run that a report reads, with about this accuracy on test."""
    rng = np.random.default_rng([seed, round(1e6 * accuracy)])
    labels = np.arange(num_test) % len(CLASSES)
    easiness = np.random.default_rng(7).normal(size=num_test)
    right = easiness + rng.normal(size=num_test) * 0.7 < stats.norm.ppf(accuracy) * 1.22
    predicted = np.where(right, labels, (labels + rng.integers(1, len(CLASSES), num_test)) % len(CLASSES))
    logits = rng.normal(size=(num_test, len(CLASSES))) * 0.4
    logits[np.arange(num_test), predicted] += 2.4 + rng.normal(size=num_test) * 0.8
    confusion = np.zeros((len(CLASSES), len(CLASSES)), int)
    np.add.at(confusion, (labels, logits.argmax(1)), 1)
    progress = (np.arange(num_epochs) + 1) / num_epochs
    curve = accuracy * (1 - 0.7 * np.exp(-4 * progress)) + rng.normal(size=num_epochs) * 0.006
    place.mkdir(parents=True)
    lines = [
        {
            "epoch": index + 1,
            "step": 10 * index,
            "progress": share,
            "seconds": 1.0,
            "train/loss": 1.0,
            "val/accuracy": value,
        }
        for index, (share, value) in enumerate(zip(progress.tolist(), curve.tolist(), strict=True))
    ]
    (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    correct = logits.argmax(1) == labels
    np.savez(
        place / "predictions.npz",
        test_logits=logits.astype(np.float16),
        test_labels=labels,
        test_correct=np.packbits(correct),
    )
    result: dict[str, Any] = {
        "status": "finished",
        "fingerprint": "0",
        "seed": seed,
        "metrics": {"test/accuracy": float(correct.mean()), "test/ece": calibration_error(logits, labels)},
        "confusion_matrix": confusion.tolist(),
        "seconds": {"train": 40.0 + seed + 100 * accuracy},
        "parameters": 308826,
        "flops_per_image": 13593088,
        "peak_memory_bytes": 900 * 2**20,
        "resolution": {"chosen": {"size": 64, "resize": 64}},
    }
    if is_searched:
        sizes = [48, 56, 64, 72, 80]
        values = [accuracy - ((size - 66) / 90) ** 2 + rng.normal() * 0.003 for size in sizes]
        curve_of_sizes = [{"size": size, "val_accuracy": value} for size, value in zip(sizes, values, strict=True)]
        best = sizes[int(np.argmax(values))]
        result["resolution"] = {"curve": curve_of_sizes, "chosen": {"size": best, "resize": best}}
    (place / "result.json").write_text(json.dumps(result))
    (place / "config.yaml").write_text(f"seed: {seed}\noptimizer:\n  lr: 0.1\n")


def calibration_error(logits: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 15) -> float:
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    confidence, right = shares.max(1), shares.argmax(1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((right[index == each] - confidence[index == each]).sum()) for each in range(bins)]
    return float(sum(gaps) / len(labels))


def student(differences: Sequence[float], level: float = 0.95) -> list[float] | None:
    if len(differences) < 2:
        return None
    mean, reach = float(np.mean(differences)), float(stats.t.ppf((1 + level) / 2, len(differences) - 1))
    reach *= float(stats.sem(differences))
    return [mean - reach, mean + reach]


def adjusted(families: Sequence[Sequence[float]]) -> list[float]:
    """Joint sign flips over all arms with the largest |t|, by enumeration: differences [arms][seeds]."""
    matrix = np.array(families)
    num = matrix.shape[1]
    signs = np.array(list(itertools.product((1, -1), repeat=min(num, 12))))
    signs = np.concatenate([signs, np.ones((len(signs), num - signs.shape[1]))], axis=1)
    largest = np.abs(statistic(signs[:, None, :] * matrix[None])).max(axis=1)
    return [float((largest >= abs(each) - 1e-9).mean()) for each in statistic(matrix)]


def statistic(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = matrix.std(axis=-1, ddof=1)
    found: NDArray[np.float64] = matrix.mean(axis=-1) * matrix.shape[-1] ** 0.5 / np.maximum(spread, 1e-12)
    return found


def verdict(interval: list[float] | None, p_adjusted: float) -> str:
    if interval is None:
        return "too few seeds"
    if p_adjusted > 0.05:
        return "cannot be distinguished"
    return "helps" if interval[0] > 0 else "hurts"


def arm_tree(directory: Path, name: str, label: str, reference: str | None, seeds: Sequence[int]) -> dict[str, Any]:
    """An arm of `study.json` from the result files of its runs; `compare` adds the values that need the reference."""
    runs = {str(seed): f"runs/{name}/{seed}" for seed in seeds}
    results = {seed: json.loads((directory / place / "result.json").read_text()) for seed, place in runs.items()}
    values = {seed: result["metrics"]["test/accuracy"] for seed, result in results.items()}
    eces = [result["metrics"]["test/ece"] for result in results.values()]
    return {
        "name": name,
        "label": label,
        "reference": reference,
        "overrides": [f"recipe=ladder_{name}"],
        "choices": next(iter(results.values())).get(
            "choices", {"evaluation/resolution": "search" if "inference" in name else "fixed"}
        ),
        "differences": {f"slots.{name}": ["none", name]} if reference else {},
        "runs": runs,
        "failures": {},
        "n": len(values),
        "mean": float(np.mean(list(values.values()))),
        "sd": float(np.std(list(values.values()), ddof=1)) if len(values) > 1 else None,
        "values": values,
        "difference": None,
        "interval": None,
        "p_value": None,
        "p_adjusted": None,
        "detectable": None,
        "verdict": "reference",
        "verdict_words": "",
        "examples": None,
        "calibration": {"ece": float(np.mean(eces)), "difference": None, "interval": None},
        "classes": {},
        "cost": {
            "seconds": float(np.mean([result["seconds"]["train"] for result in results.values()])),
            **{name: float(np.mean([result[name] for result in results.values()])) for name in COSTS},
        },
    }


def compare(directory: Path, arm: dict[str, Any], reference: dict[str, Any]) -> list[float]:
    """Add the values of the arm that need its reference; returns the differences by seed."""
    shared = [seed for seed in arm["values"] if seed in reference["values"]]
    differences = [arm["values"][seed] - reference["values"][seed] for seed in shared]
    before, after = (correctness(directory, each, shared) for each in (reference, arm))
    gain = (after - before).mean(0)
    reach = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    labels = np.arange(len(gain)) % len(CLASSES)
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    arm |= {
        "n": len(shared),
        "difference": float(np.mean(differences)),
        "interval": student(differences),
        "p_value": None,
        "detectable": 3.2 * spread / len(shared) ** 0.5,
        "examples": {
            "difference": float(gain.mean()),
            "interval": [float(gain.mean() - reach), float(gain.mean() + reach)],
            "won": int((gain > 0).sum()),
            "lost": int((gain < 0).sum()),
        },
        "classes": {
            name: {
                "difference": float(gain[labels == index].mean()),
                "interval": student(list((after - before)[:, labels == index].mean(1))),
            }
            for index, name in enumerate(CLASSES)
        },
    }
    eces, seconds = (paired_numbers(directory, arm, reference, shared, *keys) for keys in (ECE, SECONDS))
    extra, interval = float(np.mean(seconds)), student(seconds)
    is_sure = interval is not None and not interval[0] <= 0 <= interval[1]
    arm["calibration"] |= {"difference": float(np.mean(eces)), "interval": student(eces)}
    arm["cost"] |= {
        "seconds_difference": extra,
        "interval": interval,
        "points_per_hour": 100 * arm["difference"] / (extra / 3600) if is_sure else None,
    }
    return differences


def paired_numbers(
    directory: Path, arm: dict[str, Any], reference: dict[str, Any], seeds: Sequence[str], group: str, key: str
) -> list[float]:
    """Differences of a value of the results by seed."""

    def of(one: dict[str, Any], seed: str) -> float:
        return float(json.loads((directory / one["runs"][seed] / "result.json").read_text())[group][key])

    return [of(arm, seed) - of(reference, seed) for seed in seeds]


def correctness(directory: Path, arm: dict[str, Any], seeds: Sequence[str]) -> NDArray[np.float64]:
    """Correctness of each test image, 0 or 1: [seeds, N]."""
    found = []
    for seed in seeds:
        with np.load(directory / arm["runs"][seed] / "predictions.npz") as arrays:
            num = len(arrays["test_labels"])
            found.append(np.unpackbits(arrays["test_correct"], count=num))
    return np.array(found, np.float64)


def study_tree(arms: list[dict[str, Any]], seeds: Sequence[int], num_test: int, kind: str) -> dict[str, Any]:
    return {
        "version": 1,
        "kind": kind,
        "name": kind,
        "title": "The published ladder, step by step" if kind == "ladder" else f"A study: {kind}",
        "recipe": "torchvision",
        "data": "animals_on_photos",
        "metric": "test/accuracy",
        "level": 0.95,
        "seeds": list(seeds),
        "budget": "epochs",
        "command": f"sota-exp ablate study={kind} recipe=torchvision study.seeds={len(seeds)}",
        "classes": CLASSES,
        "num_test": num_test,
        "environment": {
            "versions": {"torch": "2.14.1", "sota-exp": "0.1.0"},
            "device": "cpu: test",
            "commit": "c" * 40,
            "python": "3.11.7",
        },
        "arms": arms,
        "refused": [],
        "rules": [],
        "effects": [],
        "interactions": [],
        "looks": None,
        "plan": {
            "sd_assumed": 0.011,
            "detectable": {"4": 0.031, "8": 0.0141},
            "seeds_needed": {"0.002": 312, "0.005": 51, "0.01": 15},
        },
        "status": "complete",
        "missing": [],
    }


def write_study(
    directory: Path,
    steps: Sequence[tuple[str, str, float]] = STEPS,
    seeds: Sequence[int] = range(8),
    kind: str = "ladder",
    num_test: int = 500,
    num_epochs: int = 12,
) -> Path:
    """A ladder; for any other kind, the first arm is the reference of all others."""
    base, level = 0.7, 0.0
    arms: list[dict[str, Any]] = []
    for name, label, gain in steps:
        level = level + gain if kind == "ladder" else gain
        for seed in seeds:
            noise = np.random.default_rng([seed, len(arms), 3]).normal() * 0.008
            place = directory / "runs" / name / str(seed)
            write_run(place, base + level + noise, seed, num_test, num_epochs, "inference" in name)
        before = None if not arms else arms[-1]["name"] if kind == "ladder" else arms[0]["name"]
        arms.append(arm_tree(directory, name, label, before, seeds))
    by_name = {arm["name"]: arm for arm in arms}
    families = [compare(directory, arm, by_name[arm["reference"]]) for arm in arms[1:]]
    if families and len(families[0]) > 1:
        for arm, p_value in zip(arms[1:], adjusted(families), strict=True):
            arm["p_adjusted"] = p_value
    for arm in arms[1:]:
        arm["verdict"] = verdict(arm["interval"], arm["p_adjusted"] or 1.0)
    write_tree(directory, study_tree(arms, seeds, num_test, kind))
    return directory


def write_tree(directory: Path, tree: dict[str, Any]) -> None:
    (directory / "study.json").write_text(json.dumps(tree))


def read_tree(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "study.json").read_text())
    return found
