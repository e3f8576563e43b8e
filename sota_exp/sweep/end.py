"""The end of a sweep: the confirmation's runs, and what is written, drawn, shown and said."""

import json
import logging
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sota_exp.errors import Interrupted, RunFailed
from sota_exp.report.terminal import console
from sota_exp.runs.atomic import replace_text
from sota_exp.runs.status import COMPLETE
from sota_exp.sweep import confirm
from sota_exp.sweep.confirm import DEFAULT_ARM, Arm
from sota_exp.sweep.loop import Loop
from sota_exp.sweep.space import is_search
from sota_exp.sweep.storage import patiently
from sota_exp.sweep.sweep_json import summarize, table_text
from sota_exp.sweep.trial import Brief

log = logging.getLogger(__name__)


def conclude(loop: Loop, stopped: str | None) -> None:
    """Confirm, then write `sweep.json`, `trials.csv` and figures, show the sweep in MLflow, and say what came out.

    Raises:
        RunFailed: no trial ended well.
    """
    summary = write(loop, stopped, None)
    if not summary["trials"]["complete"] and not summary["trials"]["pruned"]:
        last = summary["failures"][-1]["reason"] if summary["failures"] else "none was run"
        raise RunFailed(f"no trial of {summary['name']} ended well; the last reason: {last}")
    confirmation = Confirmation.of(loop, summary)
    found = confirmation.run() if confirmation is not None else None
    summary = write(loop, stopped, found)
    from sota_exp.report.sweep.terminal import draw, note, terminal_summary

    try:
        draw(summary, loop.directory)
    except Exception as error:  # Pictures are an extra.
        log.warning("the pictures of the sweep could not be drawn: %s: %s", type(error).__name__, error)
    replace_text(loop.directory / "sweep.md", note(summary))
    for part in terminal_summary(summary, loop.directory):
        console().print(part, soft_wrap=isinstance(part, str))
    show(loop)


def leave(loop: Loop, error: RunFailed | Interrupted | KeyboardInterrupt) -> None:
    """Write and show what is known of a sweep that fails or is interrupted; whatever goes wrong with that is a warning."""
    from sota_exp.report.sweep.terminal import note

    try:
        summary = write(loop, str(error.__cause__ or error) or "interrupted", None)
        replace_text(loop.directory / "sweep.md", note(summary))
        show(loop, "FAILED" if isinstance(error, RunFailed) else "KILLED")
    except Exception as other:
        log.warning("what is known of the sweep could not be written: %s: %s", type(other).__name__, other)


def write(loop: Loop, stopped: str | None, found: dict[str, Any] | None) -> dict[str, Any]:
    """Write what is known by now; the summary."""
    summary = patiently(lambda: summarize(loop.study, loop.goal.objectives, loop.goal.directions, loop.n_trials))
    before = read(loop.directory)
    summary |= {
        "command": command(loop),
        "fixed": [f"{key}={value}" for key, value in loop.space.counted.items()],
        "stopped": stopped,
        "confirm": found or (before or {}).get("confirm"),
        "storage": loop.store.url.split("@")[-1],
        "study": loop.store.name,
    }
    replace_text(loop.directory / "sweep.json", json.dumps(summary, indent=2, default=float) + "\n")
    replace_text(loop.directory / "trials.csv", table_text(summary))
    return summary


def read(directory: Path) -> dict[str, Any] | None:
    path = directory / "sweep.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return found


def command(loop: Loop) -> str:
    """The command line that makes this sweep, for a person to repeat."""
    hydra = loop.config.hydra
    choice = hydra.runtime.choices.get("search")
    asked = [str(item) for item in hydra.overrides.task if not is_search(str(item))]
    asked += [str(item) for item in hydra.overrides.hydra if str(item).startswith("hydra.sweep")]
    return " ".join(["sota-exp sweep", *([f"search={choice}"] if choice else []), *map(shlex.quote, asked)])


def show(loop: Loop, status: str = "FINISHED") -> None:
    """The sweep's own run in MLflow, where its runs are tracked there; what goes wrong is a warning."""
    tracking = loop.config.get("tracking") or {}
    if "experiment" not in tracking:
        return
    from sota_exp.tracking.listeners import print_dimly
    from sota_exp.tracking.mlflow import notice_of_all
    from sota_exp.tracking.mlflow_sweep import show_sweep

    if problem := show_sweep(loop.directory, status):
        log.warning("the sweep's own page in MLflow is not up to date: %s", problem)
    if said := notice_of_all(loop.directory):
        print_dimly(said)


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """Which runs a confirmation takes."""

    loop: Loop
    arms: dict[str, tuple[int | None, dict[str, Any]]]
    seeds: list[int]
    objective: str
    direction: str

    @classmethod
    def of(cls, loop: Loop, summary: dict[str, Any]) -> "Confirmation | None":
        """The best trials that are not the default itself, and the default; None where there is nothing to confirm."""
        settings, goal = loop.settings.confirm, loop.goal
        index = next((i for i, name in enumerate(goal.objectives) if name.startswith("val/")), None)
        defaults = {item["number"] for item in summary["entries"] if item["is_default"]}
        met = [item["knobs"] for item in summary["entries"] if item["number"] in defaults]
        best: list[dict[str, Any]] = []
        # Equal trials are trained once; one with the recipe's own values is the default.
        for item in summary["ranking"]:
            if item["knobs"] not in met and len(best) < settings.top:
                best.append(item)
                met.append(item["knobs"])
        if not best or index is None:
            return None
        arms: dict[str, tuple[int | None, dict[str, Any]]] = {DEFAULT_ARM: (None, {})}
        arms |= {f"trial-{item['number']}": (item["number"], item["knobs"]) for item in best}
        return cls(
            loop=loop,
            arms=arms,
            seeds=confirm.fresh_seeds(int(loop.config.seed), settings.seeds),
            objective=goal.objectives[index],
            direction=goal.directions[index],
        )

    def run(self) -> dict[str, Any]:
        """Run what is missing, sharing it with other copies of the command, then compare."""
        places = [(name, seed) for seed in self.seeds for name in self.arms]
        if any(self.result(name, seed) is None for name, seed in places):
            words = f"{len(self.arms) - 1} best trials and the recipe's own values on {len(self.seeds)} fresh seeds"
            console().print(f"[bold]confirmation[/]: {words}", soft_wrap=True)
        failures: dict[tuple[str, int], str] = {}
        while missing := [place for place in places if self.result(*place) is None and place not in failures]:
            if not self.run_some(missing, failures):
                time.sleep(1.0)
        return confirm.conclude(
            [self.arm(name, failures) for name in self.arms], self.objective, self.direction, self.seeds
        )

    def directory(self, name: str, seed: int) -> Path:
        return self.loop.directory / "confirm" / name / f"seed{seed}"

    def result(self, name: str, seed: int) -> dict[str, Any] | None:
        """Of a run that has ended well."""
        path = self.directory(name, seed) / "result.json"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
        return found if found is not None and found["status"] in COMPLETE else None

    def run_some(self, missing: Sequence[tuple[str, int]], failures: dict[tuple[str, int], str]) -> int:
        """Run a batch of runs that no other process has in hand; how many that were."""
        locks: list[FileLock] = []
        taken: list[tuple[str, int]] = []
        try:
            for name, seed in missing:
                lock = FileLock(self.directory(name, seed).with_suffix(".lock"), timeout=0)
                lock_file = Path(lock.lock_file)
                lock_file.parent.mkdir(parents=True, exist_ok=True)
                try:
                    lock.acquire()
                except Timeout:
                    continue
                locks.append(lock)
                if self.result(name, seed) is None:
                    taken.append((name, seed))
                if len(taken) == self.loop.settings.n_jobs:
                    break
            if taken:
                self.launch(taken, failures)
        finally:
            for lock in locks:
                lock.release()
        return len(locks)

    def launch(self, taken: Sequence[tuple[str, int]], failures: dict[tuple[str, int], str]) -> None:
        jobs = [self.job(name, seed) for name, seed in taken]
        for place, job in zip(taken, self.loop.launcher.launch(jobs, initial_job_idx=0), strict=True):
            error = vars(job)["_return_value"]
            if isinstance(error, Interrupted):
                raise error
            if self.result(*place) is None:
                failures[place] = str(error)
                log.warning("confirmation: %s with seed %d failed: %s", *place, error)

    def job(self, name: str, seed: int) -> list[str]:
        loop = self.loop
        _, knobs = self.arms[name]
        asked = [item for item in loop.space.overrides(knobs) if item.partition("=")[0] != "seed"]
        overrides = [*asked, f"seed={seed}"]
        words = f"confirm {name.replace('-', ' ')}, seed {seed}"
        origin = {"kind": "confirm", "name": words, "parent": str(loop.directory.resolve()), "overrides": overrides}
        brief = Brief(words=words, origin=origin)
        return [*loop.asked, *overrides, f"++hydra.sweep.subdir=confirm/{name}/seed{seed}", brief.override()]

    def arm(self, name: str, failures: dict[tuple[str, int], str]) -> Arm:
        number, knobs = self.arms[name]
        found = {seed: self.result(name, seed) for seed in self.seeds}
        test = self.objective.replace("val/", "test/")
        return Arm(
            name=name,
            number=number,
            overrides=self.loop.space.overrides(knobs),
            val={seed: result["metrics"][self.objective] for seed, result in found.items() if result},
            test={seed: result["metrics"][test] for seed, result in found.items() if result},
            failures={seed: failures[name, seed] for seed in self.seeds if (name, seed) in failures},
        )
