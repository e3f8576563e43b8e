"""One value of one JSON file of a run without digests, changed or removed, and then each command that reads runs.

Runs of older versions and of strangers have no digests. What may come out: the file is named, or numbers that the
file may say. What must not: a traceback, or NaN. `python -m tests.torture.values` prints one row per command.
"""

import contextlib
import functools
import json
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.torture.cases import Fault, Part, run_parts
from tests.torture.damages import call, prepared, whole

FILES = ("result.json", "start.json", "model.json", "metrics.jsonl")
#: Commands, and cases of each, drawn without repetition: few of those that train.
NUM_CASES = {
    **dict.fromkeys(("predict", "export", "compare", "diff"), 200),
    **dict.fromkeys(("train", "explain", "evaluate", "rerun"), 30),
}

#: What takes the place of a value; REMOVED takes its key away.
REMOVED = object()
WRONG = (None, "x", -1, 1e300, float("nan"), float("inf"), True, [], {}, REMOVED)


def iterate_places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of keys to each value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*before, key)
        yield from iterate_places(inner, (*before, key))


def read_values(path: Path) -> list[Any]:
    """The JSON values in a file: one, or one per line."""
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]


def change(path: Path, place: tuple[Any, ...], wrong: Any) -> None:
    """Put `wrong` at a place of the values in a file."""
    found = read_values(path)
    holder = functools.reduce(lambda value, key: value[key], place[:-1], found)
    if wrong is REMOVED:
        del holder[place[-1]]
    else:
        holder[place[-1]] = wrong
    path.write_text("".join(json.dumps(value) + "\n" for value in found))


@functools.cache
def list_cases(command: str) -> list[tuple[str, tuple[Any, ...], Any]]:
    """(file, place, wrong value) for a command, in an order that has something of each file at its beginning."""
    run = whole()[0] / "run"
    found = [
        (name, place, wrong)
        for name in FILES
        for place in iterate_places(read_values(run / name))
        if len(place) > 1
        for wrong in WRONG
    ]
    return random.Random(command).sample(found, NUM_CASES[command])


def check(command: str, number: int) -> str:
    """One wrong value and one command: exit status 0, or one line.

    Raises:
        Fault: a traceback, or NaN or infinity is printed as a result.
    """
    name, place, wrong = list_cases(command)[number]
    folder = whole()[0]
    with tempfile.TemporaryDirectory() as copy, contextlib.chdir(copy):
        shutil.copy(folder / "image.png", copy)
        for run in ("run", "other"):
            shutil.copytree(folder / run, run)
            Path(run, "digests.json").unlink()
        change(Path("run", name), place, wrong)
        code, _, said = call(command)
    shown = "removed" if wrong is REMOVED else json.dumps(wrong)
    what = f"{command}, {name}, {place[1:]} = {shown}: {code}: {said[-300:]!r}"
    if isinstance(code, str) or "a fault of sota-exp" in said:
        raise Fault(f"TRACEBACK {what}")
    if code == 0 and re.search(r"\b(nan|inf)\b", said.lower()):
        raise Fault(f"NAN {what}")
    if code and len([line for line in said.splitlines() if line.startswith("sota-exp: ")]) != 1:
        raise Fault(f"NO LINE {what}")
    return "taken" if code == 0 else "one line"


PARTS = {
    command: Part(functools.partial(check, command), f"`{command}` of a run with a wrong value", size)
    for command, size in NUM_CASES.items()
}


def main(arguments: list[str] | None = None) -> int:
    """Run all cases, or some."""
    return run_parts("values", PARTS, prepared, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
