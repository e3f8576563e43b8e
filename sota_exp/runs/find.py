"""Finished, failed and running runs, read from their directories; which runs a word on the command line means.

Imports neither torch nor Hydra, so that looking at runs starts in a moment.
"""

import functools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.config.configuration import Configuration
from sota_exp.errors import ConfigError
from sota_exp.runs.contents import Content, is_alive
from sota_exp.runs.sent_position import Position
from sota_exp.runs.status import COMPLETE

#: Where runs are looked for by name.
ROOTS = ("outputs", "multirun")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's directory and what its files say. `result` is {} where none was written since the last start."""

    directory: Path
    config: dict[str, Any]
    choices: dict[str, str]
    start: dict[str, Any]
    result: dict[str, Any]
    epochs: list[dict[str, Any]]

    @classmethod
    def read(cls, directory: Path) -> "Run":
        """What is there now.

        Raises:
            ConfigError: files that are not those of a run.
        """
        try:
            content = Content.read(directory, {})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{shown(directory)} is not the directory of a run: {error}") from error
        result = content.result or {}
        choices = result.get("choices") or content.start.get("choices") or {}
        return cls(
            directory=directory,
            config=content.config,
            choices=choices,
            start=content.start,
            result=result,
            epochs=content.epochs,
        )

    @property
    def configuration(self) -> Configuration:
        return Configuration(choices=self.choices, values=self.config)

    @property
    def name(self) -> str:
        return shown(self.directory)

    @property
    def is_evaluation(self) -> bool:
        """Whether it scored weights of another run and trained nothing."""
        return "weights" in self.result

    @property
    def status(self) -> str:
        """As `result.json` has it; `running`, or `killed` for a run that ended without writing how."""
        if self.result:
            return str(self.result["status"])
        return "running" if "pid" in self.start and is_alive(self.start, self.directory) else "killed"

    @property
    def is_complete(self) -> bool:
        return self.status in COMPLETE

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def metrics(self) -> dict[str, float]:
        """Of the result, fractions in [0, 1]; {} before there is one."""
        return self.result.get("metrics") or {}

    @property
    def classes(self) -> list[str]:
        return list(self.start.get("data", {}).get("classes") or self.result.get("per_class_accuracy") or ())

    @property
    def data_digest(self) -> str | None:
        """Of the contents of the images; None for an evaluation, which doesn't record it."""
        found: str | None = self.start.get("data", {}).get("digest")
        return found

    @property
    def environment(self) -> dict[str, str]:
        """Device, threads, commit, versions and digest of the data: what may explain other numbers of equal choices."""
        device = str(self.result.get("device") or self.start.get("device") or "unknown")
        name, _, threads = re.sub(r", (\d+) threads?$", r"|\1", device).partition("|")
        found = {"device": name, "threads": threads or "–"}
        found["commit"] = str(self.result.get("commit") or self.start.get("commit") or "none")
        found["data digest"] = self.data_digest or "unknown"
        return found | {package: str(number) for package, number in self.result.get("versions", {}).items()}

    def predictions(self) -> dict[str, NDArray[Any]]:
        """The arrays of `predictions.npz`; {} where nothing was scored."""
        path = self.directory / "predictions.npz"
        if not path.is_file() or not self.is_complete:
            return {}
        with np.load(path) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays.files}

    def labels(self, split: str) -> NDArray[np.int64] | None:
        """The true class of every image of val or test, int64 [N]; None where nothing was scored."""
        return self._scored.get(f"{split}_labels")

    def correct(self, split: str) -> NDArray[np.bool_] | None:
        """Whether each image of val or test was classified rightly, bool [N]; None where nothing was scored."""
        labels, packed = self.labels(split), self._scored.get(f"{split}_correct")
        if labels is None or packed is None:
            return None
        return np.unpackbits(packed, count=len(labels)).astype(bool)

    @functools.cached_property
    def _scored(self) -> dict[str, NDArray[Any]]:
        """Labels and correctness, read once."""
        return {name: array for name, array in self.predictions().items() if not name.endswith("_logits")}


def shown(directory: Path) -> str:
    """Relative to the working directory where it lies below it."""
    here = directory.resolve()
    return os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here)


def is_run(directory: Path) -> bool:
    return (directory / "config.yaml").is_file() and any(
        (directory / name).is_file() for name in ("start.json", "result.json")
    )


def runs_below(directory: Path) -> Iterator[Path]:
    """The directory itself if it holds a run, else every run below it, in the order of their names, 2 before 10."""
    if is_run(directory):
        yield directory
        return
    try:
        inside = [path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except PermissionError:
        return
    for path in sorted(inside, key=_natural):
        yield from runs_below(path)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", path.name)]


def find(word: str) -> list[Path]:
    """The run directories that `word` means: a directory, a name or the beginning of names below the roots, an MLflow run id.

    Raises:
        ConfigError: none.
    """
    path = Path(word).expanduser()
    if path.is_dir():
        found = list(runs_below(path))
        if not found:
            raise ConfigError(f"{word}: no run lies in this directory or below it")
        return found
    named = names()
    if word.strip("/") in named:
        return named[word.strip("/")]
    starting = {name: runs for name, runs in named.items() if name.startswith(word)}
    shortest = {name: runs for name, runs in starting.items() if not _is_below_another(name, starting)}
    if shortest:
        return [run for name in sorted(shortest, key=lambda name: _natural(Path(name))) for run in shortest[name]]
    return _by_mlflow_id(word, named)


def find_one(word: str) -> Run:
    """The one run that `word` means.

    Raises:
        ConfigError: none, or several.
    """
    found = find(word)
    if len(found) > 1:
        raise ConfigError(f"{word} means {len(found)} runs; name one: {_listed([shown(path) for path in found])}")
    return Run.read(found[0])


def names() -> dict[str, list[Path]]:
    """Every name below the roots, without the root: of a run (`a_run`, `sweep/0`), and of a directory of runs (`sweep`)."""
    found: dict[str, list[Path]] = {}
    for root in map(Path, ROOTS):
        for run in runs_below(root) if root.is_dir() else ():
            relative = run.relative_to(root)
            for name in (relative, *relative.parents[:-1]):
                found.setdefault(str(name), []).append(run)
    return found


def _is_below_another(name: str, names: dict[str, list[Path]]) -> bool:
    return any(str(parent) in names for parent in Path(name).parents)


def _by_mlflow_id(word: str, named: dict[str, list[Path]]) -> list[Path]:
    """The run that MLflow knows as `word`, an id of 32 characters.

    Raises:
        ConfigError: none; says what there is.
    """
    runs = [runs[0] for name, runs in named.items() if runs[0] in (Path(root) / name for root in ROOTS)]
    if re.fullmatch(r"[0-9a-f]{32}", word):
        for run in runs:
            if word in (Run.read(run).result.get("mlflow_run_id"), Position.read(run).run_id):
                return [run]
    from sota_exp.config.values import suggestion

    near = suggestion(word, named) or suggestion(word, [Path(name).name for name in named])
    there = _listed(sorted(named)) if named else "none: sota-exp train makes one"
    raise ConfigError(
        f"{word}: no such directory, and no run below outputs/ or multirun/ has this name, beginning or MLflow id."
        f"{near or f' Runs there: {there}'}"
    )


def _listed(words: Sequence[str], num: int = 6) -> str:
    return ", ".join(words[:num]) + (f" and {len(words) - num} more" if len(words) > num else "")
