"""`runtime=auto`: measures which runtime settings train fastest on this machine.

Two settings are compared by steps in turn, A B A B, and their medians, so that other load on the machine slows down
both. The result is kept in a file, for a run or for all jobs of a sweep or study with the same settings, and a repeated
command reads it.
"""

import gc
import itertools
import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from filelock import FileLock

from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment, RuntimeSettings
from sota_exp.config.hashing import compute_digest
from sota_exp.data.open import open_data
from sota_exp.data.streaming import StreamedImages
from sota_exp.errors import convert_errors, first_line
from sota_exp.models.parts import unsynchronize_norms
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.runs.files import RunFiles
from sota_exp.stages.data import DataSet
from sota_exp.training.device import count_usable_cpus, hand_back_gpu, set_up_process, synchronize_device
from sota_exp.training.distributed import World, compute_on_main
from sota_exp.training.input_sizes import start_checked_training
from sota_exp.training.last_epoch import tune_as_in_last_epoch
from sota_exp.training.loop import StepRecord, TrainingSession, fit
from sota_exp.training.members import naming_lost_processes
from sota_exp.training.session import fit_batch_size, open_session

#: The fields of `runtime` that can be measured, in the order in which they are.
MEASURED_FIELDS = ("channels_last", "precision", "threads", "workers", "compile")

#: Timed steps per setting; after `MAX_TIMED_SECONDS` only `MIN_TIMED_STEPS`.
TIMED_STEPS, MIN_TIMED_STEPS, MAX_TIMED_SECONDS = 5, 3, 12.0

#: Timed steps where the speed-up is in the range `CLOSE_SPEEDUPS`: other load on a machine comes in bursts of seconds.
TIMED_STEPS_IF_CLOSE, CLOSE_SPEEDUPS = 15, (0.95, 1.25)

#: Steps on a device that are timed together.
STEPS_BETWEEN_WAITS = 8

#: The least speed-up for which another setting is taken: smaller ones are noise.
MIN_SPEEDUP = 1.05

#: Seconds of training above which compiling is tried: it costs a minute, and gains less on a CPU.
MIN_SECONDS_TO_COMPILE, MIN_SECONDS_TO_COMPILE_ON_CPU = 600.0, 1800.0

#: Batches that each worker process prepares in advance, and the most seconds of waiting for them between timed steps.
PREFETCHED_BATCHES, MAX_PREFETCH_SECONDS = 2, 1.0


@dataclass(kw_only=True)
class TimedTraining:
    """A training with some runtime settings, one step at a time.

    step_seconds: of each step to come, or of each `num_together` steps their mean. first: seconds of the first step,
    which compiles. steps: seconds of timed steps.
    """

    runtime: RuntimeSettings
    step_seconds: Generator[float]
    first: float
    num_together: int = 1
    steps: list[float] = field(default_factory=list)

    def turn(self) -> bool:
        """Time one step; returns whether there was one. Batches that workers have prepared are used up before."""
        with use_threads(self.runtime.threads):
            prepared = PREFETCHED_BATCHES * self.runtime.workers + 1 if self.runtime.workers else 0
            prepared = -(-prepared // self.num_together)
            seconds = list(itertools.islice(self.step_seconds, prepared + 1))
            if len(seconds) <= prepared:
                return False
            self.steps.append(seconds[-1])
            if prepared:
                time.sleep(min(PREFETCHED_BATCHES * seconds[-1], MAX_PREFETCH_SECONDS))
            return True

    def total(self, num_steps: int) -> float:
        """Seconds of a training of `num_steps` steps."""
        return self.first + median(self.steps) * (num_steps - 1)


@naming_lost_processes()
def choose_runtime(
    configuration: Configuration, directory: Path, overrides: Sequence[str] = (), least_seconds: float = 0.0
) -> tuple[Configuration, str]:
    """The configuration with the fastest runtime settings, and a line about the measurement, empty if there was none.

    directory: of the file with the result; if that file exists, nothing is measured. overrides: the overrides of the
    command; a field that one of them sets is not measured. Of several processes the main one measures for all.
    least_seconds: of training, below which nothing is changed; above 0 a run that is there already keeps its settings.

    Raises:
        ConfigError: the data or the batch are not as they must be.
        RunFailed: the data can't be read.
    """
    fixed = {text.lstrip("+").partition("=")[0] for text in overrides}
    experiment = configuration.experiment
    fields = [name for name in experiment.runtime.measure if f"runtime.{name}" not in fixed]
    runtime = configuration.values["runtime"]
    unmeasured = configuration.with_values(runtime={**runtime, "measure": []})
    if not fields:
        return unmeasured, ""
    world, settings = set_up_process(experiment)[0], {**runtime, "measure": fields}
    try:
        answer = compute_on_main(
            lambda: read_or_measure(experiment, directory, settings, world.size, least_seconds), world
        )
    finally:
        hand_back_gpu()
    return configuration.with_values(runtime={**settings, **answer["runtime"]}), answer["why"]


def read_or_measure(
    experiment: Experiment, directory: Path, settings: dict[str, Any], num_processes: int, least_seconds: float = 0.0
) -> dict[str, Any]:
    """The answer of `measure_runtime` for the part of a batch that one of `num_processes` has, from a file if there."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"runtime-{compute_digest(settings, length=8)}.json"
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            if least_seconds and RunFiles(directory=directory).config() is not None:
                return {"runtime": {"measure": []}, "why": ""}
            part = replace(experiment, batch_size=max(1, experiment.batch_size // num_processes))
            found = measure_runtime(part, settings["measure"], num_processes, least_seconds)
            write_recomputable_text(path, json.dumps(found, indent=1) + "\n")
    answer: dict[str, Any] = json.loads(path.read_text())
    return answer


def measure_runtime(
    experiment: Experiment, asked: Sequence[str], num_processes: int = 1, least_seconds: float = 0.0
) -> dict[str, Any]:
    """`runtime`: the fastest values of the fields `asked`; `why`: the measurement in one line.

    experiment: its batch is that of one of `num_processes`. least_seconds: of a training that is worth a measurement.
    """
    _, device = set_up_process(experiment)
    with convert_errors():
        data = open_data(experiment)
        experiment = fit_batch_size(experiment, data, World())
    best, streams = replace(experiment.runtime, measure=[]), isinstance(data.images, StreamedImages)
    if least_seconds and (seconds := time_training(experiment, data, best, device, num_processes)) < least_seconds:
        return {"runtime": {"measure": []}, "why": f"runtime: not measured for a training of {seconds:.0f} s"}
    gains = []
    for name in MEASURED_FIELDS:
        for value in list_candidates(name, device, streams) if name in asked else ():
            if value == vars(experiment.runtime)[name]:
                continue
            other = replace(best, **{name: value})
            try:
                gain = measure_speedup(experiment, data, best, other, device, num_processes)
            except Exception as error:  # Such as no compiler, or not enough memory for two networks.
                gains.append(f"{format_setting(name, value)} not possible: {first_line(error)}")
                gc.collect()
                continue
            best = other if gain >= MIN_SPEEDUP else best
            gains += [f"{format_setting(name, value)} {gain:.2f} ×"] if gain else []
    answer = {name: vars(best)[name] for name in MEASURED_FIELDS if name in asked}
    chosen = ", ".join(itertools.starmap(format_setting, answer.items()))
    why = f"runtime: {chosen} (speed-up over the best setting before: {', '.join(gains) or 'nothing to try'})"
    return {"runtime": {**answer, "measure": []}, "why": why}


def list_candidates(name: str, device: torch.device, streams: bool) -> tuple[Any, ...]:
    """Values to try for the field `name`. streams: whether images are decoded in every epoch."""
    on_cpu, cores = device.type == "cpu", count_usable_cpus()
    # Without bf16 instructions a CPU takes several times as long in bf16.
    has_bf16 = not on_cpu or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        half: tuple[str, ...] = ("fp16",)
    else:
        half = ("bf16",) if has_bf16 else ()
    tried: dict[str, tuple[Any, ...]] = {
        "channels_last": (False, True),
        "precision": half,
        # Half of the processors that the system counts are often second threads of the same cores.
        "threads": (cores // 2,) if on_cpu and cores >= 4 else (),
        # On a CPU a worker takes computing time from training.
        "workers": ((1,) if streams else ()) if on_cpu else tuple(sorted({1, min(4, cores), min(16, cores)})),
        "compile": (True,),
    }
    return tried[name]


@contextmanager
def use_threads(num: int | None) -> Iterator[None]:
    """While entered, PyTorch has `num` threads; None leaves their number as it is."""
    before = torch.get_num_threads()
    if num is not None:
        torch.set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def format_setting(name: str, value: object) -> str:
    """A field of `runtime` and its value, as on the command line."""
    return f"{name}={json.dumps(value)}".replace('"', "")


def count_steps(experiment: Experiment, data: DataSet, device: torch.device, num_processes: int) -> int:
    """Steps of the training of `num_processes`, of one of which the experiment has the batch; at least one."""
    return max(1, open_session(experiment, data, World(), device).total_steps // num_processes)


def time_training(
    experiment: Experiment, data: DataSet, runtime: RuntimeSettings, device: torch.device, num_processes: int
) -> float:
    """Seconds of a whole training, estimated from some steps; 0 where it is as short as these."""
    known = start_timed_training(experiment, data, runtime, device)
    is_longer = known.turn()
    known.step_seconds.close()
    return known.total(count_steps(experiment, data, device, num_processes)) if is_longer else 0.0


def measure_speedup(
    experiment: Experiment,
    data: DataSet,
    one: RuntimeSettings,
    other: RuntimeSettings,
    device: torch.device,
    num_processes: int = 1,
) -> float:
    """Speed-up of a whole training by the settings `other` over `one`, compiling included; 0 if not measured."""
    known = start_timed_training(experiment, data, one, device)
    if not known.turn():
        return 0.0
    num_steps = count_steps(experiment, data, device, num_processes)
    least = MIN_SECONDS_TO_COMPILE_ON_CPU if device.type == "cpu" else MIN_SECONDS_TO_COMPILE
    if other.compile and known.total(num_steps) < least:
        return 0.0
    tried = start_timed_training(experiment, data, other, device)
    began = time.monotonic()
    while known.turn() and tried.turn():
        gain = known.total(num_steps) / tried.total(num_steps)
        wanted = TIMED_STEPS_IF_CLOSE if CLOSE_SPEEDUPS[0] < gain < CLOSE_SPEEDUPS[1] else TIMED_STEPS
        if len(tried.steps) >= (MIN_TIMED_STEPS if time.monotonic() - began > MAX_TIMED_SECONDS else wanted):
            break
    for way in (known, tried):
        way.step_seconds.close()
    gc.collect()  # frees both networks, and ends the workers of the loaders
    return known.total(num_steps) / tried.total(num_steps) if tried.steps else 0.0


def start_timed_training(
    experiment: Experiment, data: DataSet, runtime: RuntimeSettings, device: torch.device
) -> TimedTraining:
    """A training with the settings `runtime` that has taken its first step."""
    with use_threads(runtime.threads):
        taken = train_and_time(experiment, data, runtime, device)
        return TimedTraining(
            runtime=runtime, num_together=count_steps_together(device), step_seconds=taken, first=next(taken)
        )


def train_and_time(
    experiment: Experiment, data: DataSet, runtime: RuntimeSettings, device: torch.device
) -> Generator[float]:
    """Train, and yield the seconds of a step: of the first, then of each, or on a device the mean of several.

    A device is waited for only after those several, since in training it works while the host prepares the next step.
    """
    session = open_timed_session(replace(experiment, runtime=runtime), data, device)
    began, num_steps, wanted = time.monotonic(), 0, 1
    for record in fit(tune_as_in_last_epoch(session), start_checked_training(session)):
        num_steps += isinstance(record, StepRecord)
        if num_steps == wanted:
            synchronize_device(device)
            yield (time.monotonic() - began) / num_steps
            began, num_steps, wanted = time.monotonic(), 0, count_steps_together(device)


def open_timed_session(experiment: Experiment, data: DataSet, device: torch.device) -> TrainingSession:
    """A session of this process alone: others wait for its answer, and would not join a synchronized batch norm."""
    session = open_session(experiment, data, World(), device)
    return replace(session, network=lambda: unsynchronize_norms(session.network()))


def count_steps_together(device: torch.device) -> int:
    """The number of steps that are timed together."""
    return 1 if device.type == "cpu" else STEPS_BETWEEN_WAITS
