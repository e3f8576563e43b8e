"""`python -m tests.torture`: every module of this folder with a `main` that returns an exit status, one after the other."""

import importlib
import pkgutil
import subprocess
import sys
import time
import typing
from pathlib import Path

#: Seconds for all modules together.
MOST_SECONDS = 40 * 60


def list_modules() -> list[str]:
    """The modules of this folder with a function `main` → int."""
    names = [each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)])]
    found = [name for name in names if not name.startswith(("test_", "_"))]
    mains = {name: getattr(importlib.import_module(f"tests.torture.{name}"), "main", None) for name in found}
    return [name for name, function in mains.items() if function and typing.get_type_hints(function)["return"] is int]


def main() -> int:
    """Run them in processes of their own; returns 1 if one fails, or there is no time left."""
    began, failed = time.monotonic(), []
    for name in list_modules():
        print(f"\n## {name}", flush=True)
        left = MOST_SECONDS - (time.monotonic() - began)
        try:
            done = subprocess.run([sys.executable, "-m", f"tests.torture.{name}"], timeout=max(left, 1), check=False)
        except subprocess.TimeoutExpired:
            print(f"{name}: no time left of {MOST_SECONDS // 60} minutes")
            failed.append(name)
            continue
        failed += [name] * bool(done.returncode)
    print(f"\n{time.monotonic() - began:.0f} s; failed: {', '.join(failed) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
