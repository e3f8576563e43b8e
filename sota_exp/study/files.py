"""The directories and results of a study's runs, and `study.json`.

The directory of a run is `runs/<arm>-<hash of its configuration>/<seed>`. Arms of equal configuration share it, it is
found again when arms are added or reordered, and two different configurations never use the same one.
"""

import json
import logging
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.config.formats import require_current_format
from sota_exp.errors import ConfigError, DamagedFile
from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.runs.digests import check_digest, try_read_json, write_checked
from sota_exp.runs.lock import count_owners, lock_directory
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.study.arms import ComposedArm, ComposedArms

log = logging.getLogger(__name__)

#: Beginnings of the reasons that would occur again with the same configuration and seed: such runs are not repeated.
REPEATABLE_FAILURES = ("diverged",)


@dataclass(frozen=True, kw_only=True)
class ArmRun:
    """A run to be trained: its arm, its seed among those of the study, and its directory."""

    arm: ComposedArm
    seed: int
    place: str

    @property
    def name(self) -> str:
        return f"{self.arm.name}, seed {self.seed + self.arm.arm.seed_offset}"


@dataclass(kw_only=True)
class StudyFiles:
    """The directory of a study. The result of a finished run is read once, and which images it recognized."""

    directory: Path
    _results: dict[Path, dict[str, Any]] = field(default_factory=dict)
    _correct: dict[tuple[str, str], tuple[NDArray[np.uint8], int]] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)

    @property
    def study(self) -> Path:
        return self.directory / "study.json"

    def require_current_format(self) -> None:
        """Refuse a study of an older version, whose runs are named by other hashes.

        Raises:
            ConfigError: an older version wrote the study.
        """
        files = [self.study, *islice(self.directory.glob("runs/*/*/config.yaml"), 1)]
        require_current_format(files, self.directory, "study", "ablate")

    def place(self, arm: ComposedArm, seed: int) -> str:
        """The directory of a run, relative to the study's; one that exists under the name of another arm is used."""
        if arm.whole not in self._places:
            found = sorted((self.directory / "runs").glob(f"*-{arm.whole[:10]}"))
            self._places[arm.whole] = found[0].name if found else f"{arm.name}-{arm.whole[:10]}"
        return f"runs/{self._places[arm.whole]}/{seed + arm.arm.seed_offset}"

    def result(self, place: str) -> dict[str, Any] | None:
        """The content of `result.json`, or None if there is none that can be read."""
        path = self.directory / place / "result.json"
        if path in self._results:
            return self._results[path]
        found: dict[str, Any] | None = try_read_json(path)
        if found is not None and found["status"] in COMPLETE_STATUSES:
            self._results[path] = found
        return found

    def read_correct(self, place: str, split: str) -> NDArray[np.bool_]:
        """Whether a finished run classified each image of a split correctly, [N]."""
        if (place, split) not in self._correct:
            with open_arrays(self.directory / place / "predictions.npz") as arrays:
                self._correct[place, split] = arrays[f"{split}_correct"], len(arrays[f"{split}_labels"])
        bits, num = self._correct[place, split]
        return np.unpackbits(bits, count=num).astype(bool)

    def get_result_time(self, place: str) -> int | None:
        """When `result.json` was written, in nanoseconds since 1970; None without one."""
        try:
            return (self.directory / place / "result.json").stat().st_mtime_ns
        except OSError:
            return None

    def count_running(self) -> int:
        """How many runs are being trained now."""
        return count_owners(self.directory.glob("runs/*/*/owner.json"))

    def is_finished(self, place: str) -> bool:
        found = self.result(place)
        return found is not None and found["status"] in COMPLETE_STATUSES

    def count_finished(self, arm: ComposedArm, seeds: Iterable[int]) -> int:
        """How many of the arm's runs with these seeds are finished."""
        return sum(self.is_finished(self.place(arm, seed)) for seed in seeds)

    def find_repeatable_failure(self, place: str) -> str | None:
        """Why a run failed, if it would fail again in the same way; else None."""
        found = self.result(place)
        reason = str(found["reason"]) if found is not None and found["status"] == "failed" else ""
        return reason if reason.startswith(REPEATABLE_FAILURES) else None

    def copy_training(self, source: str, place: str) -> None:
        """Copy the finished training of `source` to `place`, to be scored there; not if `place` has a checkpoint.

        Nor if another command works there, which copies it too, or if the checkpoint of `source` is damaged or gone:
        then the run at `place` trains the same weights itself.
        """
        given, checkpoint = (self.directory / each / "checkpoint" / "state.pt" for each in (source, place))
        if checkpoint.exists():
            return
        with suppress(ConfigError), lock_directory(self.directory / place):  # The error: another command has it.
            try:
                check_digest(given)
            except (DamagedFile, FileNotFoundError) as error:
                log.warning("%s. The weights are trained again, for %s", error, place)
                return
            with given.open("rb") as state:
                write_checked(checkpoint, lambda file: shutil.copyfileobj(state, file))

    def write(self, study: dict[str, Any]) -> None:
        """Write `study.json` as a whole."""
        text = json.dumps(study, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        self.directory.mkdir(parents=True, exist_ok=True)
        write_recomputable_text(self.study, text)


def find_trainings(arms: ComposedArms) -> dict[str, ComposedArm]:
    """`training_key` → the first arm that has it; the other arms with the same key share its training."""
    found: dict[str, ComposedArm] = {}
    for arm in arms.ready:
        found.setdefault(arm.training_key, arm)
    return found
