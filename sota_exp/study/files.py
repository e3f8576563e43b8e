"""Where a study's runs lie, what they hold, and `study.json`.

A run's place is named by its arm and by a hash of its configuration, `runs/<arm>-<hash>/<seed>`: arms of equal configuration
share it, an arm that comes later or elsewhere in the order finds it again, and another configuration never meets it.
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sota_exp.config.formats import FORMAT, format_of
from sota_exp.errors import ConfigError
from sota_exp.runs.atomic import replace_text
from sota_exp.runs.status import COMPLETE
from sota_exp.study.arms import Arms, ReadyArm

#: How reasons begin that come again with the same configuration and seed, so that a repeated command leaves them.
FINAL = ("diverged",)


@dataclass(kw_only=True)
class StudyFiles:
    """A study's directory. A result that is final is read once."""

    directory: Path
    _results: dict[Path, dict[str, Any]] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)

    @property
    def study(self) -> Path:
        return self.directory / "study.json"

    def require_this_version(self) -> None:
        """Raise `ConfigError` where an older version made the study: its runs are named by hashes that this one doesn't make."""
        if self.study.is_file() and format_of(json.loads(self.study.read_text()), self.study) < FORMAT:
            raise ConfigError(
                f"hydra.sweep.dir={self.directory} holds a study that an older version of sota-exp made: report reads it, "
                "ablate does not go on with it. Choose another place, or remove that one"
            )

    def place(self, arm: ReadyArm, seed: int) -> str:
        """Relative to the study's directory; a place that was made under another arm's name is kept."""
        if arm.whole not in self._places:
            found = sorted((self.directory / "runs").glob(f"*-{arm.whole[:10]}"))
            self._places[arm.whole] = found[0].name if found else f"{arm.name}-{arm.whole[:10]}"
        return f"runs/{self._places[arm.whole]}/{seed + arm.arm.seed_offset}"

    def result(self, place: str) -> dict[str, Any] | None:
        """`result.json`, or None where there is none that can be read."""
        path = self.directory / place / "result.json"
        if path in self._results:
            return self._results[path]
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        if found["status"] in COMPLETE:
            self._results[path] = found
        return found

    def is_finished(self, place: str) -> bool:
        found = self.result(place)
        return found is not None and found["status"] in COMPLETE

    def final_failure(self, place: str) -> str | None:
        """Why a run failed that would fail again; None for any other."""
        found = self.result(place)
        reason = str(found["reason"]) if found is not None and found["status"] == "failed" else ""
        return reason if reason.startswith(FINAL) else None

    def share_training(self, source: str, place: str) -> None:
        """Give `place` the finished training of `source`, from which it is scored anew; nothing where it has one."""
        there, here = self.directory / source, self.directory / place
        checkpoint = here / "checkpoint" / "state.pt"
        if checkpoint.exists():
            return
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        _copy(there / "metrics.jsonl", here / "metrics.jsonl")
        _copy(there / "checkpoint" / "state.pt", checkpoint)

    def write(self, study: dict[str, Any]) -> None:
        text = json.dumps(study, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        self.directory.mkdir(parents=True, exist_ok=True)
        replace_text(self.study, text)


def _copy(source: Path, target: Path) -> None:
    """A copy that is whole or not there; files are replaced when they change, so a link to the same one is enough."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(source, beside)
    except OSError:
        shutil.copyfile(source, beside)
    beside.replace(target)


def trainings(arms: Arms) -> dict[str, ReadyArm]:
    """By hash of training and seed offset, the first arm that has it: the others of the same hash share what it trains."""
    found: dict[str, ReadyArm] = {}
    for arm in arms.ready:
        found.setdefault(training_key(arm), arm)
    return found


def training_key(arm: ReadyArm) -> str:
    return f"{arm.training}+{arm.arm.seed_offset}"
