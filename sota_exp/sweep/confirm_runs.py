"""The runs of a confirmation: the best trials on fresh seeds, then the winner and the recipe's own values on others.

Several copies of the command share them: each run has a lock file.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from sota_exp.config.job_returns import get_error
from sota_exp.config.launch import MAX_LOSSES, launch_jobs
from sota_exp.errors import Interrupted, RunLost
from sota_exp.report.comparison.groups import SeedGroup
from sota_exp.report.comparison.next_steps import advise_on_pair
from sota_exp.report.comparison.pairs import compare_pair
from sota_exp.report.terminal import escape, make_console
from sota_exp.runs.chance import is_at_chance
from sota_exp.runs.files import RunFiles
from sota_exp.runs.find import SavedRun
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.sweep.confirm import DEFAULT_ARM, ConfirmedArm, PairedImages, choose_winner, summarize_confirmation
from sota_exp.sweep.sweep import Sweep

log = logging.getLogger(__name__)

#: The seeds of the comparison begin this far above those of the search, and the seeds of the choice above these; with
#: folds at the next multiple, so that they are whole repeats.
SEED_DISTANCE = 1000


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """arms: {name: (number of the trial or None, values of the searched keys)}. objective: of val.

    seeds: on which the winner is compared with the recipe's own values. choice_seeds: on which it is chosen; none if
    there is one trial.
    """

    sweep: Sweep
    arms: dict[str, tuple[int | None, dict[str, Any]]]
    seeds: list[int]
    choice_seeds: list[int]
    objective: str
    direction: str
    num_losses: Counter[tuple[str, int]] = field(default_factory=Counter)

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
        distance = SEED_DISTANCE + -SEED_DISTANCE % (OmegaConf.select(sweep.config, "data.split.folds") or 1)
        seeds = [int(sweep.config.seed) + distance + index for index in range(settings.seeds)]
        return cls(
            sweep=sweep,
            arms=arms,
            seeds=seeds,
            choice_seeds=[seed + distance for seed in seeds] if len(best) > 1 else [],
            objective=goal.objectives[index],
            direction=goal.directions[index],
        )

    def run(self) -> dict[str, Any]:
        """Choose the winner, then compare it with the recipe's own values."""
        failures: dict[tuple[str, int], str] = {}
        trials = [name for name in self.arms if name != DEFAULT_ARM]
        text = f"choosing one of the {len(trials)} best trials on {len(self.choice_seeds)} fresh seeds"
        self._run_all([(name, seed) for seed in self.choice_seeds for name in trials], text, failures)
        winner = choose_winner(self._read_arms(failures), self.direction, self.choice_seeds)
        if winner is not None:
            text = f"{winner.name.replace('-', ' ')} and the recipe's own values on {len(self.seeds)} fresh seeds"
            compared = [(name, seed) for seed in self.seeds for name in (DEFAULT_ARM, winner.name)]
            self._run_all(compared, text, failures)
        paired = self._pair_images(winner.name) if winner is not None else None
        return summarize_confirmation(
            self._read_arms(failures), self.objective, self.direction, self.seeds, self.choice_seeds, paired
        )

    def _pair_images(self, winner: str) -> PairedImages | None:
        """The winner against the recipe's own values by image; None without runs, or if the metric is no accuracy."""
        if self.objective != "val/accuracy":
            return None
        before, after = self._read_group(DEFAULT_ARM), self._read_group(winner)
        if not (before.runs and after.runs):
            return None
        pair = compare_pair(before, after, "test")
        if not pair.common_seeds or pair.images is None:
            return None
        advice, num_images = advise_on_pair(pair, before, after, "test")
        return PairedImages(on_new=pair.on_new, advice=advice, num_images=num_images)

    def _read_group(self, name: str) -> SeedGroup:
        """The finished runs of an arm on the seeds of the comparison."""
        found = [self._run_directory(name, seed) for seed in self.seeds if self._read_result(name, seed)]
        return SeedGroup(name=name, runs=tuple(map(SavedRun.read, found)))

    def _run_all(self, runs: list[tuple[str, int]], text: str, failures: dict[tuple[str, int], str]) -> None:
        """Run what is missing, and wait for runs of other copies of the command."""
        if any(self._read_result(*key) is None for key in runs):
            make_console(is_progress=True).print(f"[bold]confirmation[/]: {text}", soft_wrap=True)
        while missing := [key for key in runs if self._read_result(*key) is None and key not in failures]:
            if not self._run_some(missing, failures):
                time.sleep(1.0)

    def _run_directory(self, name: str, seed: int) -> Path:
        return self.sweep.directory / "confirm" / name / f"seed{seed}"

    def _read_result(self, name: str, seed: int) -> dict[str, Any] | None:
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
                if self._read_result(name, seed) is None:
                    taken.append((name, seed))
                if len(taken) == self.sweep.settings.n_jobs:
                    break
            if taken:
                self._launch(taken, failures)
        return num_locked

    def _launch(self, taken: Sequence[tuple[str, int]], failures: dict[tuple[str, int], str]) -> None:
        jobs = [self._list_job_overrides(name, seed) for name, seed in taken]
        open_runs = list(taken)

        def look() -> None:
            for name, seed in [key for key in open_runs if self._read_result(*key) is not None]:
                open_runs.remove((name, seed))
                done = f"confirm {escape(name.replace('-', ' '))}, seed {seed}: [green]complete[/]"
                make_console(is_progress=True).print(done)

        for key, job in zip(taken, launch_jobs(self.sweep.launcher, jobs, 0, look), strict=True):
            error = get_error(job)
            if isinstance(error, Interrupted):
                raise error
            self.num_losses[key] += isinstance(error, RunLost)
            if isinstance(error, RunLost) and self.num_losses[key] < MAX_LOSSES:
                continue
            if self._read_result(*key) is None:
                failures[key] = str(error)
                log.warning("confirmation: %s with seed %d failed: %s", *key, error)

    def _list_job_overrides(self, name: str, seed: int) -> list[str]:
        _, knobs = self.arms[name]
        own = [item for item in self.sweep.space.overrides(knobs) if item.partition("=")[0] != "seed"]
        title = f"confirm {name.replace('-', ' ')}, seed {seed}"
        return self.sweep.job("confirm", title, [*own, f"seed={seed}"], f"confirm/{name}/seed{seed}")

    def _read_arms(self, failures: dict[tuple[str, int], str]) -> list[ConfirmedArm]:
        return [self._read_arm(name, failures) for name in self.arms]

    def _read_arm(self, name: str, failures: dict[tuple[str, int], str]) -> ConfirmedArm:
        number, knobs = self.arms[name]
        found = {seed: self._read_result(name, seed) for seed in (*self.choice_seeds, *self.seeds)}
        test = self.objective.replace("val/", "test/")
        results = [result for result in found.values() if result]
        seconds = [sum(result["seconds"].values()) for result in results]
        return ConfirmedArm(
            name=name,
            number=number,
            overrides=self.sweep.space.overrides(knobs),
            val={seed: result["metrics"][self.objective] for seed, result in found.items() if result},
            test={seed: result["metrics"][test] for seed, result in found.items() if result},
            failures={seed: reason for (arm, seed), reason in failures.items() if arm == name},
            seconds=sum(seconds) / len(seconds) if seconds else None,
            at_chance=bool(results) and all(map(is_at_chance, results)),
        )
