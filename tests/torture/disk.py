"""A training whose disk is full at one of twenty moments: one line, and later, when there is room, the same to the bit.

`python -m tests.torture.disk` limits the size of each file (RLIMIT_FSIZE), and where it may mount one, takes a small disk.
"""

import contextlib
import errno
import functools
import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from sota_exp.runs.digests import compute_digest
from tests.composing import compositions_share_their_work
from tests.experiments import TINY
from tests.torture.cases import Fault, Part, run_parts
from tests.torture.fuzz import call

TRAIN = (
    *("train", *TINY, "recipe=baseline", "regularization/average=ema", "regularization.average.every=1"),
    *("schedule.length.epochs=3", "hydra.run.dir=run"),
)

#: Number of moments of each kind.
NUM_MOMENTS = 10


def in_a_fork(work: Callable[[], Any]) -> Any:
    """What a function returns in a process of its own, as JSON."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = json.dumps(work())
        except BaseException as error:
            answer = json.dumps({"fault": f"{type(error).__name__}: {error}"})
        with os.fdopen(writes, "w") as file:
            file.write(answer)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as file:
        text = file.read()
    os.waitpid(child, 0)
    found = json.loads(text)
    if isinstance(found, dict) and "fault" in found:
        raise Fault(found["fault"])
    return found


def train(limit: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Exit status and standard error of the training in the working directory, in a process with a limit."""

    def work() -> tuple[int, str]:
        limit()
        return call(list(TRAIN))

    code, text = in_a_fork(work)
    return code, text


def limit_files(size: int) -> None:
    """No file may be larger, in bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextlib.contextmanager
def small_disk(place: str, size: int) -> Iterator[Callable[[], None]]:
    """While entered, a disk of so many bytes at a place, and a function that enlarges it.

    Raises:
        PermissionError: this needs the right to mount.
    """
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise PermissionError(errno.EPERM, "mount")
    try:
        yield lambda: subprocess.run(("mount", "-o", "remount,size=1g", place), check=True) and None
    finally:
        subprocess.run(("umount", "--lazy", place), check=True)


def describe_run() -> dict[str, Any]:
    """Numbers, weights and predictions of the run in the working directory."""
    result = json.loads(Path("run/result.json").read_text())
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    numbers = [{key: value for key, value in line.items() if "/" in key} for line in lines]
    names = ("model.safetensors", "predictions.npz", "model.json")
    return {
        "status": result["status"],
        "metrics": result["metrics"],
        "epochs": numbers,
        **{name: compute_digest(Path("run") / name) for name in names},
    }


@functools.cache
def reference() -> tuple[dict[str, Any], tuple[int, ...]]:
    """What the training makes where there is room, and the sizes of its files in bytes."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        code, text = train()
        assert code == 0, text
        sizes = {path.stat().st_size for path in Path("run").rglob("*") if path.is_file()}
        return describe_run(), tuple(sorted(sizes - {0}))


def check_files(number: int) -> str:
    """The largest files cannot be written: see `check`."""
    sizes = reference()[1]
    size = sizes[number * len(sizes) // NUM_MOMENTS] - 1
    with tempfile.TemporaryDirectory() as place:
        return check(place, size, lambda: limit_files(size), lambda: None)


def check_disk(number: int) -> str:
    """A disk that has room for a share of the files: see `check`."""
    size = sum(reference()[1]) * number // NUM_MOMENTS // 4096 * 4096 + 4096
    with tempfile.TemporaryDirectory() as place:
        try:
            with small_disk(place, size) as enlarge:
                return check(place, size, lambda: None, enlarge)
        except PermissionError:
            return "not possible here"


def check(place: str, size: int, limit: Callable[[], None], enlarge: Callable[[], None]) -> str:
    """Train where there is too little room, then where there is enough: "one line, then equal", or "not noticed".

    Raises:
        Fault: more than one line, another exit status than 1, or another run when there is room.
    """
    expected, _ = reference()
    with contextlib.chdir(place):
        code, text = train(limit)
        if code not in (0, 1):
            raise Fault(f"{size} bytes: exit status {code}: {text[-300:]}")
        if "Traceback" in text or "Logging error" in text:
            raise Fault(f"{size} bytes: {text[-900:]}")
        enlarge()
        again, said = train()
        if again != 0:
            raise Fault(f"{size} bytes, then room: exit status {again}: {said[-300:]}")
        found = describe_run()
        if found != expected:
            names = [name for name in expected if found[name] != expected[name]]
            raise Fault(f"{size} bytes, then room: other {', '.join(names)}")
        return "one line, then equal" if code else "not noticed"


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """A cache, and checkpoints of every epoch."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        settings = {"OMP_NUM_THREADS": "1", "SOTA_EXP_CACHE": place, "HYDRA_FULL_ERROR": "1"}
        stack.enter_context(mock.patch.dict(os.environ, settings))
        stack.enter_context(mock.patch("sota_exp.training.trainer.MIN_CHECKPOINT_SECONDS", 0.0))
        stack.enter_context(compositions_share_their_work())
        yield


PARTS = {
    "files": Part(check_files, "no file above a size", NUM_MOMENTS),
    "disk": Part(check_disk, "a disk that is full", NUM_MOMENTS),
}


def main(arguments: list[str] | None = None) -> int:
    """Run all cases, or some."""
    return run_parts("disk", PARTS, prepared, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
