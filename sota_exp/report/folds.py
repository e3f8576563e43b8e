"""The runs of a cross-validation together: their content as `folds.json`, and a table with one row a fold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.report.document.markdown import Strong, Table
from sota_exp.report.numbers import format_accuracy, format_duration
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.runs.digests import read_object
from sota_exp.runs.find import SavedRun
from sota_exp.runs.scored_images import has_groups
from sota_exp.runs.sent_position import FOLDS_FILE
from sota_exp.statistics.proportion import wilson_interval


@dataclass(frozen=True, kw_only=True)
class FoldRun:
    """A run of a cross-validation: its repeat and fold, from 0, its seed, and its folder below that of all."""

    repeat: int
    fold: int
    seed: int
    place: str

    @property
    def label(self) -> str:
        return f"repeat {self.repeat}, fold {self.fold}"


def build_folds_json(
    runs: Sequence[FoldRun], results: Mapping[str, dict[str, Any]], command: str, directory: Path
) -> dict[str, Any]:
    """The content of `folds.json`. results: place → `result.json` of a finished run. directory: of all.

    metrics: {name: mean and sd over folds}. tested: the number of images, each tested once per repeat, the share that
    was right, and its interval for other images; null while folds are missing.
    """
    done = [run for run in runs if run.place in results]
    known: dict[str, list[float]] = {}
    for run in done:
        for name, value in results[run.place]["metrics"].items():
            if value is not None:
                known.setdefault(name, []).append(float(value))
    return {
        "format": FILE_FORMAT,
        "status": "complete" if len(done) == len(runs) else "partial",
        "command": command,
        "runs": [
            {**vars(run), "status": results[run.place]["status"] if run in done else "not run yet"} for run in runs
        ],
        "metrics": {
            name: {"mean": fmean(found), "sd": stdev(found) if len(found) > 1 else None}
            for name, found in known.items()
        },
        "tested": _count_tested(runs, results, directory) if len(done) == len(runs) else None,
    }


def _count_tested(runs: Sequence[FoldRun], results: Mapping[str, dict[str, Any]], directory: Path) -> dict[str, Any]:
    """Images tested in a repeat, the share that was right, mean over repeats, and its interval over images."""
    repeats = len({run.repeat for run in runs})
    nums = [results[run.place]["evaluated_images"]["test"] for run in runs]
    right = [num * results[run.place]["metrics"]["test/accuracy"] for num, run in zip(nums, runs, strict=True)]
    num, share = sum(nums) / repeats, min(1.0, sum(right) / sum(nums))
    is_grouped = any(has_groups(result, "test") for result in results.values())
    independent = _count_independent(runs, directory) if is_grouped else round(num)
    return {"images": round(num), "accuracy": share, "interval": list(wilson_interval(share, independent))}


def _count_independent(runs: Sequence[FoldRun], directory: Path) -> float:
    """`count_independent` of the images of the first repeat, of all its folds together."""
    import numpy as np

    from sota_exp.statistics.groups import count_independent

    correct, groups = [], []
    for run in runs:
        if run.repeat == runs[0].repeat:
            saved = SavedRun.read(directory / run.place)
            right, images, own = saved.correct("test"), saved.images("test"), saved.groups("test")
            assert right is not None and images is not None
            correct.append(right)
            groups.append(images if own is None else own)
    return count_independent(np.concatenate(correct), np.concatenate(groups))


def build_folds_table(found: Mapping[str, Any], results: Mapping[str, dict[str, Any]]) -> Table:
    """One row a fold, then mean and standard deviation over folds. found: the content of `folds.json`."""
    rows, shown = [], ("val/accuracy", "test/accuracy")
    for run in found["runs"]:
        if (result := results.get(run["place"])) is not None:
            scores = [format_accuracy(result["metrics"][score]) for score in shown]
            num, seconds = f"{result['evaluated_images']['test']:,}", sum(result["seconds"].values())
            rows.append([f"repeat {run['repeat']}, fold {run['fold']}", *scores, num, format_duration(seconds)])
    for name in ("mean", "sd"):
        values = [found["metrics"].get(score, {}).get(name) for score in shown]
        rows.append([Strong(f"{name} over folds"), *map(format_accuracy, values), "", ""])
    return Table(["", "val accuracy", "test accuracy", "test images", "time"], rows)


def describe_tested(found: Mapping[str, Any]) -> str:
    """The accuracy over all images in a sentence; "" while folds are missing."""
    if (tested := found["tested"]) is None:
        return ""
    low, high = map(format_accuracy, tested["interval"])
    num, share = tested["images"], format_accuracy(tested["accuracy"])
    return (
        f"Each image was tested once per repeat: {num:,} test images in all, {share} of them right; "
        f"95 % interval for other images like these {low} to {high}."
    )


def read_folds(directory: Path) -> dict[str, Any] | None:
    """The content of `folds.json` in a directory; None without one.

    Raises:
        ConfigError: a later version wrote it.
        DamagedFile: it is no object with these keys.
    """
    return read_object(directory / FOLDS_FILE, "command", "runs", "metrics", "tested")


def write_folds(directory: Path, found: Mapping[str, Any]) -> None:
    """Write `folds.json` into a directory as a whole."""
    text = json.dumps(found, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    write_recomputable_text(directory / FOLDS_FILE, text)
