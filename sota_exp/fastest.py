"""The fastest way to compute a training on this machine, by a short measurement: what `runtime=auto` asks for.

Each step is taken in two ways in turn, A B A B, and the medians decide, so what else the machine does weighs on both. An answer is
made once for a run, or once for all jobs of a sweep or a study, and kept in a file beside them: repeating a command repeats it.
"""

import gc
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from filelock import FileLock

from sota_exp.distributed import World
from sota_exp.experiment import Experiment, Runtime
from sota_exp.rehearsal import finish
from sota_exp.run import foreseen, on_this_machine, open_data
from sota_exp.session import open_session
from sota_exp.stages import DataSet
from sota_exp.train import Step, fit, start

#: What may be asked for, in the order in which it is tried, and what is tried in place of the value it has.
TRIED: dict[str, tuple[Any, ...]] = {
    "channels_last": (False, True),
    "precision": ("bf16",),
    "workers": (1,),
    "compile": (True,),
}

#: Steps timed each way, and seconds after which no further one is begun.
TIMED_STEPS, TIMED_SECONDS = 5, 12.0

#: The least gain for which another way is taken: smaller ones are noise.
LEAST_GAIN = 1.05

#: Compiling costs about a minute on a CPU: it is tried where training is expected to take longer than this in seconds.
WORTH_COMPILING = 600.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way at work: seconds of its first step, which compiles, and of each one timed after."""

    first: float
    steps: list[float]

    def total(self, num_steps: int) -> float:
        """Seconds of a training of `num_steps` steps."""
        return self.first + median(self.steps) * (num_steps - 1)


def settled(experiment: Experiment, tree: dict[str, Any], place: Path) -> tuple[dict[str, Any], str]:
    """The configuration with its runtime measured, and what to say of it; as it is, and "", where nothing is asked for.

    place: the file of the answer; where it is there, nothing is measured.
    """
    if not experiment.runtime.measure:
        return tree, ""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not place.is_file():
            answer = measured(experiment)
            draft = place.with_suffix(".draft")
            draft.write_text(json.dumps(answer, indent=1) + "\n")
            draft.rename(place)
    answer = json.loads(place.read_text())
    return {**tree, "runtime": {**tree["runtime"], **answer["runtime"]}}, answer["why"]


def measured(experiment: Experiment) -> dict[str, Any]:
    """`runtime`: the values that were found, `why`: the measurement in a line."""
    asked = experiment.runtime.measure
    world, device = on_this_machine(experiment)
    with foreseen():
        data = open_data(experiment)
    best = replace(experiment.runtime, measure=[])
    said = []
    for name, values in TRIED.items():
        tried = name in asked and world.size == 1 and possible(name, device)
        for value in values if tried else ():
            if value != vars(experiment.runtime)[name]:
                other = replace(best, **{name: value})
                gain = race(experiment, data, best, other, device)
                best = other if gain >= LEAST_GAIN else best
                said += [f"{name}={in_yaml(value)} {gain:.2f} ×"] if gain else []
    answer = {name: vars(best)[name] for name in TRIED if name in asked}
    words = ", ".join(f"{name}={in_yaml(value)}" for name, value in answer.items())
    why = f"runtime: {words} (steps per second against what was chosen before: {', '.join(said) or 'nothing to try'})"
    return {"runtime": {**answer, "measure": []}, "why": why}


def possible(name: str, device: torch.device) -> bool:
    """Whether it is worth a try: a CPU without bf16 instructions takes several times as long in bf16."""
    if name != "precision" or device.type != "cpu":
        return True
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def in_yaml(value: object) -> str:
    """A value as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def race(experiment: Experiment, data: DataSet, one: Runtime, other: Runtime, device: torch.device) -> float:
    """How many times as fast a whole training is in the other way, compiling included; 0 where it was not tried."""
    known = trained(experiment, data, one, device)
    ways = [Way(first=next(known), steps=[next(known, 0.0)])]
    num_steps = open_session(experiment, data, World(), device)[0].total_steps
    if other.compile and ways[0].total(num_steps) < WORTH_COMPILING:
        return 0.0
    tried = trained(experiment, data, other, device)
    ways.append(Way(first=next(tried), steps=[]))
    began = time.monotonic()
    for pair in zip(known, tried, strict=False):
        for way, seconds in zip(ways, pair, strict=True):
            way.steps.append(seconds)
        if len(ways[1].steps) >= TIMED_STEPS or time.monotonic() - began > TIMED_SECONDS:
            break
    gc.collect()  # both networks, and the workers of a loader
    return ways[0].total(num_steps) / ways[1].total(num_steps) if ways[1].steps else 0.0


def trained(experiment: Experiment, data: DataSet, runtime: Runtime, device: torch.device) -> Iterator[float]:
    """Train, and give the seconds of every step."""
    session, _ = open_session(replace(experiment, runtime=runtime), data, World(), device)
    began = time.monotonic()
    for record in fit(session, start(session)):
        if isinstance(record, Step):
            finish(device)
            yield time.monotonic() - began
            began = time.monotonic()
