"""`python -m tests.torture`: every module of this folder with a `main` that returns an exit status, two at a time but for one."""

import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
import typing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: Seconds for all modules together, and how many run at once: one on each of two cores.
MOST_SECONDS, NUM_AT_ONCE = 40 * 60, 2

#: Modules that take ten minutes.
LONG = ("soak", "kills", "damages", "hostile")

#: Modules that limit how long a training waits for others: each runs alone, after all others.
ALONE = ("servers",)


def list_modules() -> list[str]:
    """The modules of this folder with a function `main` → int."""
    names = [each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)])]
    found = [name for name in names if not name.startswith(("test_", "_"))]
    mains = {name: getattr(importlib.import_module(f"tests.torture.{name}"), "main", None) for name in found}
    return [name for name, function in mains.items() if function and typing.get_type_hints(function)["return"] is int]


def run_module(name: str, end: float) -> bool:
    """Run a module in a process of its own, and print what it wrote; returns whether it failed or `end` came first.

    end: in seconds of `time.monotonic`.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-m", f"tests.torture.{name}"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait(max(end - began, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            status = process.wait()
            output.write(f"{name}: no time left of {MOST_SECONDS // 60} minutes\n")
        output.seek(0)
        print(f"\n## {name}, {time.monotonic() - began:.0f} s\n{output.read()}", flush=True)
    return status != 0


def main() -> int:
    """Run all modules, the longest first; returns 1 if one fails, or there is no time left."""
    began, names = time.monotonic(), sorted(list_modules(), key=lambda name: (name in ALONE, name not in LONG))
    together = [name for name in names if name not in ALONE]
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        failed = list(pool.map(lambda name: run_module(name, began + MOST_SECONDS), together))
    failed += [run_module(name, began + MOST_SECONDS) for name in ALONE]
    bad = [name for name, is_bad in zip(names, failed, strict=True) if is_bad]
    print(f"\n{time.monotonic() - began:.0f} s; failed: {', '.join(bad) or 'none'}")
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
