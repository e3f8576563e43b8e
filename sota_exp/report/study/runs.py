"""Data that a report reads from the run directories of a study: curves, inference sizes, configurations.

Runs are read one at a time; only means and spreads over seeds are kept. Files that cannot be read are left out, which
`find_unreadable_files` tells.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.errors import ConfigError, DamagedFile
from sota_exp.report.study.study import StudyArm, StudyResult
from sota_exp.runs.digests import check_digest, is_there, read_json_lines, try_read_json
from sota_exp.runs.mlflow_store import format_dashboard_command, mask_passwords
from sota_exp.runs.sent_position import SentPosition

if TYPE_CHECKING:  # it imports OmegaConf
    from sota_exp.runs.find import SavedRun

#: Points of a drawn curve; longer runs are thinned to about as many.
MAX_CURVE_POINTS = 60

#: The files of a run that a report reads.
READ_FILES = ("config.yaml", "result.json", "metrics.jsonl")


@dataclass(frozen=True, kw_only=True)
class SeedCurve:
    """Mean and standard deviation (0 for one seed) over `n` seeds at each `x`; arrays float64 [P]."""

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    n: int


def find_unreadable_files(study: StudyResult) -> list[str]:
    """Why files that the runs wrote, and a report reads, cannot be read, one sentence per file."""
    found: dict[str, None] = {}
    for place in dict.fromkeys(study.places(*study.arms)):
        for name in READ_FILES:
            try:
                if is_there(place / name):
                    check_digest(place / name)
            except (OSError, DamagedFile) as error:
                found[str(error)] = None
    return list(found)


def read_learning_curve(places: Iterable[Path], key: str) -> SeedCurve | None:
    """A metric by epoch (from 1), up to the last epoch that all runs have; None if none has the metric."""
    found = (read_metric_by_epoch(place / "metrics.jsonl", key) for place in places)
    return average_over_seeds([points for points in found if points])


def read_metric_by_epoch(path: Path, key: str) -> dict[float, float]:
    """The metric by epoch (from 1), thinned to at most `MAX_CURVE_POINTS`; the last epoch is kept."""
    try:
        whole = read_json_lines(path)
    except (OSError, ValueError):
        return {}
    kept = list(enumerate(whole, start=1))[:: -(-(-len(whole) // MAX_CURVE_POINTS) or 1)]
    return {number: row[key] for number, row in reversed(kept) if row.get(key) is not None}


def average_over_seeds(runs: Sequence[dict[float, float]]) -> SeedCurve | None:
    """Mean and spread at the values of x that all runs have; None if there are none."""
    shared = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    if not shared:
        return None
    values = np.array([[run[place] for place in shared] for run in runs], np.float64)
    sd = values.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(shared))
    return SeedCurve(x=np.array(shared, np.float64), mean=values.mean(axis=0), sd=sd, n=len(runs))


def count_chosen_sizes(study: StudyResult, arm: StudyArm) -> Counter[int]:
    """How many runs of the arm chose each size of inference, in pixels; none without a resolution search."""
    if arm.choices.get("evaluation/resolution") == "fixed":
        return Counter()
    results = [try_read_json(place / "result.json") or {} for place in study.places(arm)]
    searches = [search for result in results if (search := result.get("resolution") or {}).get("curve")]
    return Counter(int(search["chosen"]["size"]) for search in searches)


def find_readable_run(places: Iterable[Path]) -> "SavedRun | None":
    """The first run in these directories that can be read; None if none can."""
    from sota_exp.runs.find import SavedRun

    for place in places:
        with suppress(ConfigError):
            return SavedRun.read(place)
    return None


def read_first_run(places: Iterable[Path]) -> dict[str, Any]:
    """What runs share, from the first that can be read: date, data, train (images), model, size, epochs, dashboard."""
    if (run := find_readable_run(places)) is None:
        return {}
    config, counts = run.config, (run.start.get("data") or {}).get("counts") or {}
    position = SentPosition.read(run.directory)
    found = {
        "date": time.strftime("%Y-%m-%d", time.localtime(run.start["time"])),
        "data": config.get("data", {}).get("name"),
        "train": counts.get("train"),
        "model": (config.get("model") or {}).get("arch", {}).get("name"),
        "size": (size := config.get("data", {}).get("image_size")) and f"{size} px",
        "epochs": config.get("schedule", {}).get("length", {}).get("epochs"),
        "dashboard": position.uri and mask_passwords(format_dashboard_command(position.uri, position.experiment)),
    }
    return {name: value for name, value in found.items() if value}
