"""A study of 3 arms × 6 seeds, a sweep of 8 trials and a multirun of 4, with a launcher and one killed process each.

python -m benchmarks.launchers joblib|submitit_local|slurm|ray [DIR]: trains everything once in this process and once
with the launcher, kills the process of one run in the middle, compares every number, and prints the rows of
docs/launchers.md. `slurm` needs a SLURM, which benchmarks/launchers/slurm.sh starts: there an urgent job for the whole
node preempts what is training, too. Ends with status 1 where something differs.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sota_exp.runs.lock import find_owner
from tests.experiments import TINY

#: What each launcher is told: two runs at once.
LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_local": ("hydra/launcher=submitit_local",),
    "slurm": ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null"),
    "ray": (
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.log_to_driver=false",
    ),
}

#: Trainings of some seconds, so that a kill meets one.
SHORT = [
    *(item for item in TINY if not item.startswith(("data.num_images", "schedule.length"))),
    *("recipe=baseline", "data.num_images=200", "schedule.length.epochs=8"),
]

COMMANDS = {
    "ablate": ["study=add_one_in", "study.only=[ema,label_smoothing]", "study.seeds=6"],
    "sweep": ["optimizer.lr=tag(log,interval(0.001,0.1))", "hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=2",
              "hydra/sweeper/pruner=none", "hydra.sweeper.confirm.top=0"],
    "train -m": ["seed=0,1,2,3"],
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command left: place of a run → its metrics, times that it was resumed; and what the terminal said.

    killed: the run whose process was killed. preempted: the jobs of SLURM that were queued again. early: lines of runs that were printed before the last run had ended.
    """

    status: int
    metrics: dict[str, dict[str, float]]
    resumed: dict[str, int]
    killed: str | None
    preempted: int
    early: int
    said: str


def main(name: str, folder: Path) -> int:
    """Exit status: 0 where all numbers are equal."""
    rows, is_equal = [], True
    for command, arguments in COMMANDS.items():
        place = folder / command.split()[0]
        plain = run(command, arguments, place / "plain", kills=False)
        launched = run(command, [*arguments, *LAUNCHERS[name]], place / name, kills=True, preempts=name == "slurm")
        same = plain.metrics == launched.metrics and plain.status == launched.status == 0
        is_equal &= same and launched.killed is not None and launched.early > 0
        is_equal &= name != "slurm" or launched.preempted > 0
        if not same:
            print(launched.said, file=sys.stderr)
        went_on = sum(map(bool, launched.resumed.values()))
        rows.append(
            f"| {name} | `{command}` | {len(launched.metrics)} of {len(plain.metrics)} | {launched.killed} | "
            f"{launched.preempted} | {went_on} | {'equal' if same else '**differ**'} | {launched.early} |"
        )
        print(rows[-1], flush=True)
    return int(not is_equal)


def run(command: str, arguments: Sequence[str], place: Path, kills: bool, preempts: bool = False) -> Outcome:
    """Run a command in `place`; with `kills`, the process of a run is killed after some have ended.

    preempts: an urgent job takes the whole node of SLURM when one run more has ended.
    """
    if place.exists():  # In this process, for another launcher.
        return Outcome(status=0, killed=None, preempted=0, early=0, said="", **read_results(place))
    line = [sys.executable, "-m", "sota_exp", *command.split(), *SHORT, *arguments, f"hydra.sweep.dir={place}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}
    killed, num_then, preempted, early = None, 0, 0, 0
    place.mkdir(parents=True)
    log = place.with_suffix(".txt")
    with log.open("w") as file:
        process = subprocess.Popen(line, stdout=file, stderr=subprocess.STDOUT, env=environment)
    while process.poll() is None:
        num_ended = len(list(place.rglob("result.json")))
        if kills and killed is None and num_ended >= 2:
            killed, num_then = kill_one(place), num_ended
        if preempts and killed and not preempted and num_ended > num_then:
            preempted = preempt(place)
        if any(True for _ in place.rglob("owner.json")):
            early = max(early, count_lines(log.read_text()))
        time.sleep(0.05)
    return Outcome(
        status=process.returncode,
        killed=killed,
        preempted=preempted,
        early=early,
        said=log.read_text(),
        **read_results(place),
    )


def read_results(place: Path) -> dict[str, Any]:
    """Place of a run → its metrics, and how often it was resumed."""
    results = {str(path.parent.relative_to(place)): json.loads(path.read_text()) for path in place.rglob("result.json")}
    return {key: {name: found[key] for name, found in results.items()} for key in ("metrics", "resumed")}


def kill_one(place: Path) -> str | None:
    """SIGKILL a process that trains, an epoch of it done; the name of its run."""
    for file in place.rglob("owner.json"):
        owner: dict[str, Any] = find_owner(file.parent)
        if owner and is_training(file.parent):
            os.kill(owner["pid"], signal.SIGKILL)
            return str(file.parent.relative_to(place))
    return None


def preempt(place: Path) -> int:
    """Give SLURM an urgent job for all CPUs of the node while a run trains; how many jobs it queued again, or 0."""
    if not any(is_training(file.parent) for file in place.rglob("owner.json")):
        return 0
    before = count_requeued()
    job = ["sbatch", "--wait", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"]
    subprocess.run(job, check=True, capture_output=True)
    return count_requeued() - before


def count_requeued() -> int:
    """How often jobs of SLURM were queued again."""
    jobs = subprocess.run(["scontrol", "show", "job"], check=True, capture_output=True, text=True).stdout
    return sum(int(word.partition("=")[2]) for word in jobs.split() if word.startswith("Restarts="))


def is_training(place: Path) -> bool:
    """Whether a process trains in a directory, an epoch of it done, and some are left."""
    metrics = place / "metrics.jsonl"
    return bool(find_owner(place)) and metrics.exists() and metrics.read_text().count("\n") in range(1, 7)


def count_lines(text: str) -> int:
    """Lines of runs that have ended, with the time that is left."""
    return sum(line.endswith(" left") for line in text.splitlines())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else made).resolve()))
