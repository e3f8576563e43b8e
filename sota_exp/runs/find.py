"""Reads runs from their directories, and finds runs by path, name or MLflow id.

Imports neither torch nor hydra, so that commands on runs start quickly.
"""

import functools
import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sota_exp.config.configuration import Configuration
from sota_exp.config.data_paths import describe_no_folder, expand_home, is_folder
from sota_exp.config.values import format_suggestion, join_first
from sota_exp.errors import ConfigError
from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.contents import RunContent
from sota_exp.runs.digests import read_digests
from sota_exp.runs.result_json import is_evaluation
from sota_exp.runs.scored_images import get_image_digest
from sota_exp.runs.sent_position import SentPosition
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.runs.trust import require_plain_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Directories in which runs are found by name, and searched where none is given.
RUN_ROOTS = ("outputs", "multirun")

#: The files by which a directory is known as a run's: any two of them, as one may be lost.
RUN_FILES = ("config.yaml", "start.json", "result.json", "digests.json")

#: Most runs that a message lists.
MOST_LISTED = 6


@dataclass(frozen=True, kw_only=True)
class SavedRun(RunContent):
    """A run of any status, for display and comparison."""

    @classmethod
    def read(cls, directory: Path, origin: dict[str, Any] | None = None) -> Self:
        """Read the files.

        Raises:
            ConfigError: the directory does not contain the files of a run.
        """
        try:
            return super().read(directory, origin)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{format_run_path(directory)} is not the directory of a run: {error}") from error

    @property
    def configuration(self) -> Configuration:
        return Configuration(choices=self.choices, values=self.config)

    @property
    def name(self) -> str:
        return format_run_path(self.directory)

    @property
    def is_evaluation(self) -> bool:
        """Whether it evaluated weights of another run, without training."""
        return is_evaluation(self.result)

    @property
    def is_complete(self) -> bool:
        return self.status in COMPLETE_STATUSES

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the result (accuracies in [0, 1]), without those that are null; {} without a result."""
        found = self.result.get("metrics") or {}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def scored_parts(self) -> tuple[str, ...]:
        """The parts of the data that its result has scores of."""
        return tuple(self.result.get("evaluated_images") or ("val", "test"))

    @property
    def classes(self) -> list[str]:
        return list(self.start.get("data", {}).get("classes") or self.result.get("per_class_accuracy") or ())

    @property
    def data_digest(self) -> str | None:
        """Digest of the data set's images; None for an evaluation, which does not record it."""
        return self.start.get("data", {}).get("digest")

    @property
    def environment(self) -> dict[str, str]:
        """Device, threads, commit, data digest and versions: why numbers of equal configurations may differ."""
        device = str(self.result.get("device") or self.start.get("device") or "unknown")
        name, _, threads = re.sub(r", (\d+) threads?$", r"|\1", device).partition("|")
        found = {"device": name, "threads": threads or "–"}
        found["commit"] = str(self.result.get("commit") or self.start.get("commit") or "none")
        found["data digest"] = self.data_digest or "unknown"
        return found | {package: str(number) for package, number in self.result.get("versions", {}).items()}

    def image_digest(self, part: str) -> str | None:
        """Digest of the scored images of a part, in order; None in runs and evaluations of older versions."""
        return get_image_digest(self.result, part)

    def predictions(self) -> "dict[str, NDArray[Any]]":
        """Arrays of `predictions.npz`, such as `val_labels` int64 [N], `val_logits` [N, C]; {} without evaluation."""
        path = self.directory / "predictions.npz"
        if not path.is_file() or not self.is_complete:
            return {}
        import numpy as np

        with open_arrays(path) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays.files}

    @property
    def lacks_predictions(self) -> bool:
        """Whether the file of predictions that the run wrote is no longer there."""
        path = self.directory / "predictions.npz"
        return self.is_complete and not path.is_file() and bool(read_digests(path))

    def labels(self, split: str) -> "NDArray[np.int64] | None":
        """Labels of val or test, int64 [N]; None without evaluation."""
        return self._scored.get(f"{split}_labels")

    def correct(self, split: str) -> "NDArray[np.bool_] | None":
        """Whether each image of val or test was classified correctly, bool [N]; None without evaluation."""
        labels, packed = self.labels(split), self._scored.get(f"{split}_correct")
        if labels is None or packed is None:
            return None
        import numpy as np

        return np.unpackbits(packed, count=len(labels)).astype(bool)

    def images(self, split: str) -> "NDArray[np.int64] | None":
        """Which images of the data set were scored, int64 [N]; None in files of older versions."""
        return self._scored.get(f"{split}_images")

    def groups(self, split: str) -> "NDArray[np.int64] | None":
        """Which of the scored images vary together, by equal numbers, int64 [N]; None: none does, or no one says."""
        return self._scored.get(f"{split}_groups")

    @functools.cached_property
    def _scored(self) -> "dict[str, NDArray[Any]]":
        """Labels, images and groups int64 [N] and packed correctness uint8 [⌈N / 8⌉] per split, read once."""
        return {name: array for name, array in self.predictions().items() if not name.endswith("_logits")}


def format_run_path(directory: Path) -> str:
    """The path for display, relative to the working directory if it is below it."""
    path = directory.resolve()
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def find_runs_below(directory: Path, nested: bool = False) -> Iterator[Path]:
    """The directory itself if it is a run's, else all runs below it, in natural order of names (2 before 10).

    nested: also the runs inside a run's directory (its evaluations, the seeds of a trial), and what was killed before
    its start was written.
    """
    files = [name for name in RUN_FILES if (directory / name).is_file()]
    if len(files) > 1 or (nested and "config.yaml" in files):
        yield directory
        if not nested:
            return
    try:
        inside = [path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:  # Missing, or not readable.
        return
    for path in sorted(inside, key=_natural_key):
        yield from find_runs_below(path, nested)


def _natural_key(path: Path) -> list[tuple[int, str]]:
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", path.name)]


def find_runs(word: str) -> list[Path]:
    """Find run directories by a path, a name below the roots, a prefix of names, or an MLflow run id.

    Raises:
        ConfigError: no run is found, or one of somebody else with links out of it.
    """
    runs = _find_runs(word)
    for run in runs:
        require_plain_files(run)
    return runs


def _find_runs(word: str) -> list[Path]:
    path = expand_home(word)
    if is_folder(path):
        found = list(find_runs_below(path))
        if not found:
            raise ConfigError(f"{word}: no run in this directory or below it")
        return found
    named = list_run_names()
    if word.strip("/") in named:
        return named[word.strip("/")]
    starting = [Path(name) for name in named if name.startswith(word) and "/" not in name.removeprefix(word)]
    if starting:
        return [run for name in sorted(starting, key=_natural_key) for run in named[str(name)]]
    return _find_by_mlflow_id(word, named)


def find_run(word: str) -> SavedRun:
    """Find exactly one run.

    Raises:
        ConfigError: none or several are found.
    """
    found = find_runs(word)
    if len(found) > 1:
        raise ConfigError(
            f"{word} means {len(found)} runs; name one: {join_first([*map(format_run_path, found)], MOST_LISTED)}"
        )
    return SavedRun.read(found[0])


def list_run_names() -> dict[str, list[Path]]:
    """Name below the roots → its runs, for runs (`a_run`, `sweep/0`) and directories of runs (`sweep`)."""
    found: dict[str, list[Path]] = {}
    for root in map(Path, RUN_ROOTS):
        for run in find_runs_below(root):
            relative = run.relative_to(root)
            for name in (relative, *relative.parents[:-1]):
                found.setdefault(str(name), []).append(run)
    return found


def _find_by_mlflow_id(word: str, named: dict[str, list[Path]]) -> list[Path]:
    """Find the run with this MLflow run id, 32 hexadecimal digits; otherwise a ConfigError that lists the runs."""
    runs = [runs[0] for name, runs in named.items() if runs[0] in (Path(root) / name for root in RUN_ROOTS)]
    if re.fullmatch(r"[0-9a-f]{32}", word):
        for run in runs:
            if word in (SavedRun.read(run).result.get("mlflow_run_id"), SentPosition.read(run).run_id):
                return [run]
    hashed = Path(word).parent.glob(glob.escape(Path(word).name) + "-" + 10 * "[0-9a-f]")  # folders of a study's arms
    arm = min(map(str, hashed), default="")
    near = f" Did you mean {arm}?" if arm else format_suggestion(word, named)
    near = near or format_suggestion(word, [Path(name).name for name in named])
    legal = join_first(sorted(named), MOST_LISTED) if named else "none: sota-exp train makes one"
    raise ConfigError(
        f"{word}: {describe_no_folder(word)}, and no run below outputs/ or multirun/ has this name, beginning or "
        f"MLflow id.{near or f' Runs there: {legal}'}"
    )
