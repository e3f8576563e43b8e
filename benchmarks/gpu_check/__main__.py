"""`make gpu-check`: what a first run on a GPU shows, in at most ten minutes, in gpu-check.json and gpu-check.md.

    python -m benchmarks.gpu_check [--device cuda:0] [--folder .] [--only NAME]

Each section is a process of its own, which is killed after its time, so that neither a failure of CUDA nor one that
hangs takes the other sections along. With `--device cpu` the CPU is compared with itself, and what only CUDA shows
"needs CUDA".
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import psutil
import torch

from benchmarks.gpu_check import commands, trainings
from benchmarks.gpu_check.lines import NOT_AS_EXPECTED, OUT_OF_TIME, Line, Setting, skip, write_report
from sota_exp.training.device import get_device_name

#: Each section, and the most seconds that it takes with its start; with the start of the check less than ten minutes.
SECTIONS: dict[str, tuple[Callable[[Setting], Iterator[Line]], float]] = {
    "training": (commands.run_whole_training, 60),
    "losses": (trainings.compare_losses, 80),
    "waits": (trainings.look_for_waits, 80),
    "memory": (trainings.compare_memory, 25),
    "repeat": (trainings.repeat_to_the_bit, 80),
    "resnet50": (partial(commands.race, model="resnet50"), 80),
    "resnet18": (partial(commands.race, model="resnet18"), 60),
    "processes": (commands.compare_processes, 50),
    "tests": (commands.run_tests, 70),
}

#: The part of its time in which a section starts further trainings.
SHARE_TO_START = 0.9


def run_section(name: str, device: str, only: str) -> Iterator[Line]:
    """The lines of a section as they come, from another process, and one more if that fails or takes too long."""
    limit, is_late = SECTIONS[name][1], threading.Event()
    words = ["--section", name, "--device", device, "--only", only]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu_check", *words],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):

        def end() -> None:
            is_late.set()
            end_with_children(process.pid)

        timer = threading.Timer(limit, end)
        timer.start()
        assert process.stdout is not None
        yield from (Line(**json.loads(line)) for line in process.stdout)
        status = process.wait()
        timer.cancel()
        if is_late.is_set():
            yield skip("the rest of the section", f"it ends within {limit:.0f} s", OUT_OF_TIME)
        elif status:
            errors.seek(0)
            last = (errors.read().decode(errors="replace").strip() or "no message").splitlines()[-1]
            seen = f"ended with status {status}: {last}"
            yield Line(what="the section", seen=seen, expected="ends by itself", verdict=NOT_AS_EXPECTED)


def end_with_children(pid: int) -> None:
    """Kill a process and all that it started: torchrun puts its own in other groups, and they keep their GPUs."""
    with suppress(psutil.NoSuchProcess):
        section = psutil.Process(pid)
        for each in (section, *section.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.kill()


def print_section(name: str, device: str, only: str) -> None:
    """The lines of a section, JSON each, on standard output, which belongs to them alone."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    section, limit = SECTIONS[name]
    if device.startswith("cuda"):
        torch.cuda.set_device(device)  # else libraries would open GPU 0 too
    with tempfile.TemporaryDirectory() as place:
        until = time.monotonic() + SHARE_TO_START * limit
        for line in section(Setting(device=device, folder=Path(place), only=only, until=until)):
            print(json.dumps(asdict(line)), file=answers)


def check(device: str, folder: Path, only: str, names: list[str]) -> list[Line]:
    """Run the sections `names`, and write the report after each line."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    facts: dict[str, object] = {
        "device": get_device_name(torch.device(device)),
        "PyTorch": torch.__version__,
        "at": now,
    }
    facts |= {"CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version(), "GPUs": torch.cuda.device_count()}
    lines: list[Line] = []
    seconds: dict[str, float] = {}
    for name in names:
        began = time.monotonic()
        for line in run_section(name, device, only):
            lines.append(replace(line, section=name))
            print(f"{line.verdict}: {name}: {line.what}: {line.seen} (expected: {line.expected})", flush=True)
            seconds[name] = time.monotonic() - began
            write_report(folder, facts, lines, seconds)
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 if a line is not as expected, 2 if there is no such device."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check")
    parser.add_argument("--device", default="cuda:0", help="cuda:0; cpu tries the check itself, without a GPU")
    parser.add_argument("--folder", type=Path, default=Path(), help="of gpu-check.json and gpu-check.md")
    parser.add_argument("--sections", nargs="*", default=list(SECTIONS), choices=SECTIONS, help="only these")
    parser.add_argument("--only", default="", help="only trainings and tests with this in their name")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.section:
        print_section(asked.section, asked.device, asked.only)
        return 0
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            f"--device={asked.device}: PyTorch sees no GPU; --device=cpu tries the check without one", file=sys.stderr
        )
        return 2
    asked.folder.mkdir(parents=True, exist_ok=True)
    lines = check(asked.device, asked.folder, asked.only, asked.sections)
    wrong = [line for line in lines if line.verdict == NOT_AS_EXPECTED]
    print(f"{len(lines)} lines, {len(wrong)} not as expected: {asked.folder / 'gpu-check.md'}")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
