"""Kills trainings at random moments, over all techniques and in two processes, and compares the resumed runs to the bit.

    python -m tests.torture.kills [KILLS] [SEED]

Real processes and real signals. The table has a row for each technique; the exit status is 1 if a run differs.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from sota_exp.errors import STOP_SIGNALS
from tests.experiments import OFF, TINY
from tests.forked import Program
from tests.options import Option, options
from tests.test_contract import context_of, make_files, overrides_of
from tests.training.test_distributed import STATEFUL, free_port
from tests.training.test_run import assert_same_run

#: Seventy steps, in epochs of fifteen, with a checkpoint every 60 ms; a restart is killed once more.
LENGTH = ("data.num_images=300", "optimizer.lr=0.01", "runtime.checkpoint_minutes=0.001", "runtime.threads=1")
EPOCHS = "schedule.length.epochs=5"
KILLS_PER_RUN = 2

#: Options that a process of their own can't have: published weights need a network, synchronized norms several GPUs, and
#: a network that Python hands in is in this one.
LEFT_OUT = ("model/weights=pretrained", "regularization/norm=sync_batch", "model/arch=python")

#: What happens to one of two processes, or to both.
FATES = ("kill both", "kill one", "signal one", "signal both")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training that is killed: its overrides, and on how many processes it runs."""

    name: str
    overrides: tuple[str, ...]
    num_processes: int = 1


@dataclass(kw_only=True)
class Outcome:
    """What became of a case: a text per kill, and what was wrong."""

    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def list_cases(made: Path) -> list[Case]:
    """One case per technique, and trainings of two processes. made: the folder of `make_files`."""
    found = [option for option in options() if ".techniques." in option.target and str(option) not in LEFT_OUT]
    two = [("two processes", ()), ("two processes, workers", ("runtime.workers=1",))]
    return [
        *(Case(name=str(option), overrides=_override(option, made)) for option in found),
        *(
            Case(name=name, overrides=(*TINY, *OFF, *STATEFUL, *LENGTH, EPOCHS, *words), num_processes=2)
            for name, words in two
        ),
    ]


def _override(option: Option, made: Path) -> tuple[str, ...]:
    replaced = ("data.num_images", "schedule.length.epochs")
    context = tuple(text for text in context_of(option) if not text.startswith(replaced))
    own = (text for text in overrides_of(option, made) if not text.startswith("~"))
    return (*context, f"{option.slot}={option.name}", *own, *LENGTH, EPOCHS)


def start(case: Case, place: Path) -> list[Program]:
    """The processes of a command, which append to `place`.txt."""
    port, programs = str(free_port()), []
    for rank in range(case.num_processes):
        world = {"WORLD_SIZE": str(case.num_processes), "RANK": str(rank), "LOCAL_RANK": str(rank),
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
        with mock.patch.dict(os.environ, world if case.num_processes > 1 else {}):
            output = place.with_suffix(".txt")
            programs.append(Program("train", *case.overrides, f"hydra.run.dir={place}", output=output))
    return programs


def end(programs: Sequence[Program], seconds: float = 300) -> list[int]:
    """The exit statuses; a process that hangs is killed, and counts as 99.

    One whose peer was killed before they met waits for it at torch's meeting point, until torchrun sends SIGTERM: so
    does this, and a process that has met its peers does not die of it.
    """
    found = []
    for program in programs:
        try:
            found.append(program.wait(seconds))
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                program.wait(10)
            found.append(-signal.SIGTERM if program.poll() == -signal.SIGTERM else 99)
            if program.poll() is None:
                program.kill_group()
        with suppress(ProcessLookupError):  # What `forkserver` starts for a killed process waits for ever.
            os.killpg(program.pid, signal.SIGKILL)
    return found


def train(case: Case, place: Path) -> str:
    """Train to the end; what was wrong, or ""."""
    statuses = end(start(case, place))
    return "" if set(statuses) == {0} else f"ended with {statuses}: {_read_output(place)[-400:]}"


def kill(case: Case, place: Path, rng: random.Random, seconds: float) -> tuple[str, str]:
    """Start, kill at a random moment; (what was done, what was wrong), the first empty if it ended before.

    seconds: of a training, from its `start.json` to its end.
    """
    before = _modified(place / "start.json")
    programs = start(case, place)
    if rng.random() < 0.85:  # else while it composes, imports or opens its data
        while _modified(place / "start.json") == before and programs[0].poll() is None:
            time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.8 * seconds))
    number = rng.choice((*[signal.SIGKILL] * 3, *STOP_SIGNALS))
    what, hit = number.name, list(programs)
    if case.num_processes > 1:
        what = rng.choice(FATES)
        number = signal.SIGKILL if what.startswith("kill") else rng.choice(STOP_SIGNALS)
        hit = programs if what.endswith("both") else [rng.choice(programs)]
    alive = any(program.poll() is None for program in hit)
    for program in hit:
        program.send_signal(number)
    statuses = end(programs, 60)
    said = _read_output(place)
    legal = {0, 1, -number, 128 + number, -signal.SIGTERM} if case.num_processes > 1 else {0, -number, 128 + number}
    legal |= {1} if not said else set()  # by Ctrl-C before the program began
    wrong = "" if set(statuses) <= legal else f"{what} ended with {statuses}: {said[-400:]}"
    if "Traceback" in said or "fault of sota-exp" in said:
        wrong = f"{what} left a traceback: {said[-1500:]}"
    return (what if alive and set(statuses) != {0} else ""), wrong


def _read_output(place: Path) -> str:
    path = place.with_suffix(".txt")  # missing where all processes were killed before they opened it
    return path.read_text(errors="replace") if path.exists() else ""


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def torture(case: Case, place: Path, rng: random.Random, num_kills: int) -> Outcome:
    """Kill the case `num_kills` times, in runs of at most `KILLS_PER_RUN` kills, each resumed to its end."""
    outcome, reference = Outcome(), place / "reference"
    place.mkdir(parents=True)
    if wrong := train(case, reference):
        outcome.faults.append(wrong)
        return outcome
    seconds = (_modified(reference / "result.json") - _modified(reference / "start.json")) / 1e9
    for number in range(4 * num_kills):
        left = num_kills - len(outcome.kills)
        if not left or outcome.faults:
            break
        run = place / str(number)
        done = [kill(case, run, rng, seconds) for _ in range(min(left, KILLS_PER_RUN))]
        outcome.kills += [what for what, _ in done if what]
        outcome.faults += [wrong for _, wrong in done if wrong]
        if wrong := train(case, run):
            outcome.faults.append(f"resumed after {done}: {wrong}")
            break
        try:
            assert_same_run(run, reference)
        except AssertionError as error:
            outcome.faults.append(f"after {done}: {error}")
    return outcome


def share(cases: Sequence[Case], num_kills: int, rng: random.Random) -> Iterator[tuple[Case, int]]:
    """The cases in random order, each with its number of kills: two processes get a fifth."""
    several, alone = ([case for case in cases if (case.num_processes > 1) == flag] for flag in (True, False))
    fifth = num_kills // 5
    for group, total in ((several, fifth), (alone, num_kills - fifth)):
        rng.shuffle(group)
        for index, case in enumerate(group):
            if number := total // len(group) + (index < total % len(group)):
                yield case, number


def main(arguments: Sequence[str]) -> int:
    num_kills, seed = map(int, (*arguments, *("100", "0")[len(arguments) :]))
    rng, began, outcomes = random.Random(seed), time.monotonic(), list[Outcome]()
    print(f"{num_kills} kills, seed {seed}\n{'technique':<48} kills  equal  how", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        made.mkdir()
        make_files(made)
        for index, (case, number) in enumerate(share(list_cases(made), num_kills, rng)):
            outcome = torture(case, Path(folder) / str(index), rng, number)
            outcomes.append(outcome)
            equal = "no" if outcome.faults else "yes"
            print(f"{case.name:<48} {len(outcome.kills):>5}  {equal:<5}  {', '.join(outcome.kills)}", flush=True)
            for fault in outcome.faults:
                print(f"    {fault}", flush=True)
    total = sum(len(outcome.kills) for outcome in outcomes)
    bad = sum(bool(outcome.faults) for outcome in outcomes)
    print(f"{total} kills over {len(outcomes)} cases, {bad} with a fault, {time.monotonic() - began:.0f} s")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
