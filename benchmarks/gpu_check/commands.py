"""Sections of `make gpu-check` that start other programs: tests, whole trainings, loops that race."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import torch

from benchmarks import pictures
from benchmarks.gpu_check.lines import NEEDS_CUDA, NEEDS_TWO_GPUS, Line, Seen, Setting, judge, skip
from benchmarks.loops import Task
from benchmarks.racing import Racer, Rounds, in_turn, middle_round
from sota_exp.training.device import count_usable_cpus
from tests.experiments import OFF, TINY
from tests.training.test_distributed import SLICED

#: Tests of what depends on the device.
TESTS = tuple(f"tests/training/test_{name}.py" for name in ("device", "gpu_lease", "memory", "fake_cuda"))

#: Networks that race: side of the images in pixels, and images per step; rounds, and steps of a round.
RACES = {"resnet50": (176, 128), "resnet18": (32, 512)}
NUM_ROUNDS, NUM_STEPS = 5, 10

#: The least speed in times that of the peer, and the most memory in times that of the bare step.
LEAST_SPEED, MOST_MEMORY = {"bare": 0.9, "torchvision": 1.0}, 1.5


def run_tests(setting: Setting) -> Iterator[Line]:
    """The tests of devices, on this machine: a line for each file."""
    for file in TESTS:
        if setting.only in file:

            def look(file: str = file) -> Seen:
                command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", file]
                ended = subprocess.run(command, capture_output=True, text=True)
                lines = ended.stdout.strip().splitlines()
                failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
                return "; ".join([*lines[-1:], *failed[:5]]), ended.returncode == 0

            yield judge(file, "all pass", look)


def train(setting: Setting, name: str, *words: str, num_processes: int = 1) -> dict[str, Any]:
    """`result.json` of a training from the command line, and `losses`, of each epoch.

    Raises:
        RuntimeError: it failed; the message has its last line.
    """
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}", "-m"]
    directory = setting.folder / name
    tiny = [word for word in TINY if not word.startswith("runtime.device")]
    program = [*launcher, "sota_exp"] if num_processes > 1 else ["sota_exp"]
    command = [sys.executable, "-m", *program, "train", *tiny, *words, f"hydra.run.dir={directory}"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if ended.returncode:
        last = (ended.stderr.strip() or ended.stdout.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"exit status {ended.returncode}: {last}")
    epochs = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return {**json.loads((directory / "result.json").read_text()), "losses": [line["train/loss"] for line in epochs]}


def run_whole_training(setting: Setting) -> Iterator[Line]:
    """A training as a user starts it: measured settings, validation, files, scores."""

    def look() -> Seen:
        result = train(setting, "auto", "runtime=auto", f"runtime.device={setting.device}")
        versions = {name: result["versions"][name] for name in ("cuda", "cudnn", "driver") if setting.on_cuda}
        memory = result["peak_memory_bytes"] / 2**20
        is_fine = result["status"] == "finished" and result["device"].startswith(setting.device)
        return f"{result['status']} on {result['device']}; {versions}; {memory:.0f} MiB", is_fine

    yield judge("sota-exp train runtime=auto", f"finished on {setting.device}", look)


def compare_processes(setting: Setting) -> Iterator[Line]:
    """Two processes against one: on two GPUs by NCCL, on the CPU by gloo."""
    expected, kind = "the losses of one process, within 1e-3", setting.device.partition(":")[0]

    def look() -> Seen:
        words = (*OFF, *SLICED, f"runtime.device={kind}")
        one = torch.tensor(train(setting, "one", *words)["losses"])
        two = torch.tensor(train(setting, "two", *words, num_processes=2)["losses"])
        difference = ((two - one) / one).abs().max().item()
        return f"relative difference {difference:.1e} over {len(one)} epochs", difference <= 1e-3

    if not setting.on_cuda:
        yield judge("two processes by gloo", expected, look)
        yield skip("two processes by NCCL", expected, NEEDS_CUDA)
    elif torch.cuda.device_count() < 2:
        yield skip("two processes by NCCL", expected, NEEDS_TWO_GPUS)
    else:
        yield judge("two processes by NCCL", expected, look)


def race(setting: Setting, model: str) -> Iterator[Line]:
    """Speed and memory of ours against the bare step and torchvision's loop, in bf16; on a CPU tiny."""
    size, batch_size = RACES[model] if setting.on_cuda else (32, 4)
    precision, workers = ("bf16", min(8, count_usable_cpus())) if setting.on_cuda else ("fp32", 0)
    pictures.write(setting.folder / "set", 4 * batch_size, size * 5 // 4, size * 5 // 3)
    arch = ("model/arch=torchvision", f"model.arch.name={model}")
    folders = {"folder": setting.folder / "set", "cache": setting.folder / "cache"}
    task = Task(**folders, size=size, batch_size=batch_size, arch=arch, epochs=10_000, device=setting.device)
    settings: dict[str, dict[str, Any]] = {
        "ours": {"overrides": (f"runtime.precision={precision}", f"runtime.workers={workers}")},
        "bare": {"precision": precision},
        "torchvision": {"precision": precision, "workers": workers},
    }
    with ExitStack() as stack:
        racers = {name: stack.enter_context(closing(Racer(name, task, **own))) for name, own in settings.items()}
        rounds = run_rounds(racers, *((NUM_ROUNDS, NUM_STEPS) if setting.on_cuda else (1, 1)), setting.until)
        memory = {name: racer.peak_memory / 2**20 for name, racer in racers.items()}
    where = f"{model}, {size} px, {precision}, {batch_size} images per step"
    yield from judge_race(setting, where, batch_size, rounds, memory)


def run_rounds(racers: dict[str, Racer], num_rounds: int, num_steps: int, until: float) -> Rounds:
    """Seconds of a step by loop, of one round at least, and of as many more as there is time for."""
    rounds: Rounds = {name: [] for name in racers}
    for number in range(num_rounds):
        began = time.monotonic()
        order = list(racers)[:: -1 if number % 2 else 1]
        for name, seconds in in_turn({name: racers[name] for name in order}, 1, num_steps).items():
            rounds[name] += seconds
        if 2 * time.monotonic() - began > until:
            break
    return rounds


def judge_race(
    setting: Setting, where: str, batch_size: int, rounds: Rounds, memory: dict[str, float]
) -> Iterator[Line]:
    """The lines of a race. rounds: seconds of a step by loop. memory: peak MiB by loop."""
    for peer, least in LEAST_SPEED.items():
        own, other = middle_round(rounds, "ours", peer)
        seen = f"{other / own:.2f} × ({batch_size / own:,.0f} and {batch_size / other:,.0f} images per second)"
        found: Seen = (seen, other / own >= least)
        what = f"{where}: speed against {peer}"
        yield judge(what, f"at least {least} ×", lambda found=found: found, setting.on_cuda)
    ratio = memory["ours"] / memory["bare"]
    seen = f"{ratio:.2f} × ({memory['ours']:,.0f} and {memory['bare']:,.0f} MiB)"
    found = (seen, ratio <= MOST_MEMORY)
    yield judge(f"{where}: peak memory against bare", f"at most {MOST_MEMORY} ×", lambda: found, setting.on_cuda)
