"""Data that a report reads from the run directories of a study: curves, inference sizes, reliability, configurations.

Runs are read one at a time; only means and spreads over seeds are kept. Files that cannot be read are left out, which
`find_unreadable_files` tells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.errors import ConfigError, DamagedFile
from sota_exp.report.run.predictions import bin_by_confidence, compute_confidence
from sota_exp.report.study.study import StudyArm, StudyResult
from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.digests import check_digest, is_there, read_checked, read_json_lines, try_read_json
from sota_exp.runs.mlflow_store import format_dashboard_command, mask_passwords
from sota_exp.runs.sent_position import SentPosition

#: Points of a drawn curve; longer runs are thinned to about as many.
MAX_CURVE_POINTS = 60

#: The files of a run that a report reads.
READ_FILES = ("config.yaml", "result.json", "metrics.jsonl", "predictions.npz")

#: Most runs of an arm whose logits are read.
MOST_SCORED = 16


@dataclass(frozen=True, kw_only=True)
class SeedCurve:
    """Mean and standard deviation (0 for one seed) over `n` seeds at each `x`; arrays float64 [P]."""

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    n: int


@dataclass(frozen=True, kw_only=True)
class InferenceSizes:
    """Accuracy on val by inference size in pixels; `chosen`: number of seeds that chose each size."""

    curve: SeedCurve
    chosen: dict[int, int]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBins:
    """By bin of confidence, [NUM_BINS]: share of the images, mean confidence, accuracy; NaN in empty bins."""

    weight: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    n: int


def find_unreadable_files(study: StudyResult) -> list[str]:
    """Why files that the runs wrote, and a report reads, cannot be read, one sentence per file."""
    found: dict[str, None] = {}
    for place in dict.fromkeys(place for arm in study.arms for place in iterate_run_directories(study, arm)):
        for name in READ_FILES:
            try:
                if is_there(place / name):
                    check_digest(place / name)
            except (OSError, DamagedFile) as error:
                found[str(error)] = None
    return list(found)


def iterate_run_directories(study: StudyResult, arm: StudyArm) -> Iterator[Path]:
    """The directories of an arm's runs, in the order of their seeds."""
    for relative in arm.runs.values():
        yield study.directory / relative


def read_learning_curve(study: StudyResult, arm: StudyArm, key: str) -> SeedCurve | None:
    """A metric by epoch (from 1), up to the last epoch that all seeds have; None if no run has the metric."""
    return average_over_seeds(
        [
            points
            for place in iterate_run_directories(study, arm)
            if (points := read_metric_by_epoch(place / "metrics.jsonl", key))
        ]
    )


def read_metric_by_epoch(path: Path, key: str) -> dict[float, float]:
    """The metric by epoch (from 1), thinned to at most `MAX_CURVE_POINTS`; the last epoch is kept."""
    try:
        whole = read_json_lines(path)
    except (OSError, ValueError):
        return {}
    stride = -(-len(whole) // MAX_CURVE_POINTS) or 1
    first = (len(whole) - 1) % stride if whole else 0
    rows = {number: whole[number - 1] for number in range(first + 1, len(whole) + 1, stride)}
    return {number: row[key] for number, row in rows.items() if row.get(key) is not None}


def average_over_seeds(runs: Sequence[dict[float, float]]) -> SeedCurve | None:
    """Mean and spread at the values of x that all runs have; None if there are none."""
    shared = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    if not shared:
        return None
    values = np.array([[run[place] for place in shared] for run in runs], np.float64)
    sd = values.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(shared))
    return SeedCurve(x=np.array(shared, np.float64), mean=values.mean(axis=0), sd=sd, n=len(runs))


def read_inference_sizes(study: StudyResult, arm: StudyArm) -> InferenceSizes | None:
    """Accuracy by inference size of the runs with a resolution search; the best crop ratio at each size."""
    found = [search for place in iterate_run_directories(study, arm) if (search := read_resolution_search(place))]
    curve = average_over_seeds([find_best_by_size(search) for search in found])
    if curve is None or len(curve.x) < 2:
        return None
    chosen = [int(search["chosen"]["size"]) for search in found]
    return InferenceSizes(curve=curve, chosen={size: chosen.count(size) for size in sorted(set(chosen))})


def has_resolution_search(study: StudyResult, arm: StudyArm) -> bool:
    """Whether the first run of the arm has a resolution search."""
    option = arm.choices.get("evaluation/resolution")
    if option is not None:
        return option != "fixed"
    first = next(iterate_run_directories(study, arm), None)
    return first is not None and read_resolution_search(first) is not None


def read_resolution_search(place: Path) -> dict[str, Any] | None:
    """The resolution search in a result; None if only one size was evaluated."""
    result = try_read_json(place / "result.json")
    found = (result or {}).get("resolution") or {}
    return found if found.get("curve") else None


def find_best_by_size(search: dict[str, Any]) -> dict[float, float]:
    found: dict[float, float] = {}
    for point in search["curve"]:
        size, value = float(point["size"]), point["val_accuracy"]
        found[size] = max(found.get(size, value), value)
    return found


def compute_reliability(study: StudyResult, arm: StudyArm) -> ReliabilityBins | None:
    """Reliability over the test predictions of the first `MOST_SCORED` runs together."""
    found = [
        each
        for place in list(iterate_run_directories(study, arm))[:MOST_SCORED]
        if (each := read_confidences(place)) is not None
    ]
    if not found:
        return None
    confidence = np.concatenate([each[0] for each in found])
    correct = np.concatenate([each[1] for each in found])
    num, mean = bin_by_confidence(confidence, confidence)
    _, share = bin_by_confidence(confidence, correct)
    return ReliabilityBins(weight=num / num.sum(), confidence=mean, correct=share, n=len(found))


def read_confidences(place: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(confidence [N], correctness 0 or 1 [N]) on test; None if the run has no predictions."""
    try:
        with open_arrays(place / "predictions.npz") as arrays:
            confidence, correct = compute_confidence(arrays["test_logits"], arrays["test_labels"])
    except (OSError, KeyError, ValueError):
        return None
    return confidence, correct.astype(np.float64)


def read_first_run(study: StudyResult) -> dict[str, Any]:
    """What all runs share, from the first that can be read: time, train (images), model, size, epochs, dashboard."""
    from sota_exp.runs.find import SavedRun

    for place in (place for arm in study.arms for place in iterate_run_directories(study, arm)):
        try:
            run = SavedRun.read(place)
        except ConfigError:
            continue
        config, counts = run.config, (run.start.get("data") or {}).get("counts") or {}
        position = SentPosition.read(place)
        found = {
            "time": run.start["time"],
            "train": counts.get("train"),
            "model": (config.get("model") or {}).get("arch", {}).get("name"),
            "size": (size := config.get("data", {}).get("image_size")) and f"{size} px",
            "epochs": config.get("schedule", {}).get("length", {}).get("epochs"),
            "dashboard": position.uri and mask_passwords(format_dashboard_command(position.uri, position.experiment)),
        }
        return {name: value for name, value in found.items() if value}
    return {}


def read_configuration(study: StudyResult, arm: StudyArm) -> str | None:
    """`config.yaml` of the arm's first readable run, as text."""
    for place in iterate_run_directories(study, arm):
        try:
            return read_checked(place / "config.yaml").decode()
        except (OSError, ValueError):
            continue
    return None
