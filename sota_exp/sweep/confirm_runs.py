"""The runs of a confirmation: the best trials and the recipe's own values on fresh seeds.

Several copies of the command share them: each run has a lock file.
"""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sota_exp.errors import Interrupted
from sota_exp.report.terminal import make_console
from sota_exp.runs.files import RunFiles
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.sweep.confirm import DEFAULT_ARM, ConfirmedArm, summarize_confirmation
from sota_exp.sweep.sweep import Sweep

log = logging.getLogger(__name__)

#: The seeds of a confirmation begin this far above those of the search.
SEED_DISTANCE = 1000


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """arms: {name: (number of the trial or None, values of the searched keys)}. objective: of val."""

    sweep: Sweep
    arms: dict[str, tuple[int | None, dict[str, Any]]]
    seeds: list[int]
    objective: str
    direction: str

    @classmethod
    def of(cls, sweep: Sweep, summary: dict[str, Any]) -> "Confirmation | None":
        """The default and the best trials that differ from it; None without such a trial or a val objective."""
        settings, goal = sweep.settings.confirm, sweep.goal
        index = next((i for i, name in enumerate(goal.objectives) if name.startswith("val/")), None)
        known = [item["knobs"] for item in summary["entries"] if item["is_default"]]
        best: list[dict[str, Any]] = []
        # Equal trials are trained once.
        for item in summary["ranking"]:
            if item["knobs"] not in known and len(best) < settings.top:
                best.append(item)
                known.append(item["knobs"])
        if not best or index is None:
            return None
        arms: dict[str, tuple[int | None, dict[str, Any]]] = {DEFAULT_ARM: (None, {})}
        arms |= {f"trial-{item['number']}": (item["number"], item["knobs"]) for item in best}
        return cls(
            sweep=sweep,
            arms=arms,
            seeds=[int(sweep.config.seed) + SEED_DISTANCE + index for index in range(settings.seeds)],
            objective=goal.objectives[index],
            direction=goal.directions[index],
        )

    def run(self) -> dict[str, Any]:
        """Run what is missing, wait for runs of other copies of the command, then compare."""
        runs = [(name, seed) for seed in self.seeds for name in self.arms]
        if any(self._result(name, seed) is None for name, seed in runs):
            text = f"{len(self.arms) - 1} best trials and the recipe's own values on {len(self.seeds)} fresh seeds"
            make_console().print(f"[bold]confirmation[/]: {text}", soft_wrap=True)
        failures: dict[tuple[str, int], str] = {}
        while missing := [key for key in runs if self._result(*key) is None and key not in failures]:
            if not self._run_some(missing, failures):
                time.sleep(1.0)
        return summarize_confirmation(
            [self._arm(name, failures) for name in self.arms], self.objective, self.direction, self.seeds
        )

    def _run_directory(self, name: str, seed: int) -> Path:
        return self.sweep.directory / "confirm" / name / f"seed{seed}"

    def _result(self, name: str, seed: int) -> dict[str, Any] | None:
        """The result of a run that is complete, else None."""
        found = RunFiles(directory=self._run_directory(name, seed)).result()
        return found if found is not None and found["status"] in COMPLETE_STATUSES else None

    def _run_some(self, missing: Sequence[tuple[str, int]], failures: dict[tuple[str, int], str]) -> int:
        """Run up to `n_jobs` runs that no other process has locked; returns how many it locked."""
        num_locked = 0
        taken: list[tuple[str, int]] = []
        with contextlib.ExitStack() as locks:
            for name, seed in missing:
                lock = self._run_directory(name, seed).with_suffix(".lock")
                lock.parent.mkdir(parents=True, exist_ok=True)
                try:
                    locks.enter_context(FileLock(lock, timeout=0))
                except Timeout:
                    continue
                num_locked += 1
                if self._result(name, seed) is None:
                    taken.append((name, seed))
                if len(taken) == self.sweep.settings.n_jobs:
                    break
            if taken:
                self._launch(taken, failures)
        return num_locked

    def _launch(self, taken: Sequence[tuple[str, int]], failures: dict[tuple[str, int], str]) -> None:
        jobs = [self._job_overrides(name, seed) for name, seed in taken]
        for key, job in zip(taken, self.sweep.launcher.launch(jobs, initial_job_idx=0), strict=True):
            error = vars(job)["_return_value"]
            if isinstance(error, Interrupted):
                raise error
            if self._result(*key) is None:
                failures[key] = str(error)
                log.warning("confirmation: %s with seed %d failed: %s", *key, error)

    def _job_overrides(self, name: str, seed: int) -> list[str]:
        _, knobs = self.arms[name]
        own = [item for item in self.sweep.space.overrides(knobs) if item.partition("=")[0] != "seed"]
        title = f"confirm {name.replace('-', ' ')}, seed {seed}"
        return self.sweep.job("confirm", title, [*own, f"seed={seed}"], f"confirm/{name}/seed{seed}")

    def _arm(self, name: str, failures: dict[tuple[str, int], str]) -> ConfirmedArm:
        number, knobs = self.arms[name]
        found = {seed: self._result(name, seed) for seed in self.seeds}
        test = self.objective.replace("val/", "test/")
        return ConfirmedArm(
            name=name,
            number=number,
            overrides=self.sweep.space.overrides(knobs),
            val={seed: result["metrics"][self.objective] for seed, result in found.items() if result},
            test={seed: result["metrics"][test] for seed, result in found.items() if result},
            failures={seed: failures[name, seed] for seed in self.seeds if (name, seed) in failures},
        )
