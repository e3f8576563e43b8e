"""Runs numbered cases in two processes, prints a table of what came out, and how to repeat what failed."""

import argparse
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context

Check = Callable[[int], str]
Prepared = Callable[[], AbstractContextManager[None]]
Outcome = tuple[Counter[str], list[tuple[int, str]]]

#: Cases that a process takes at once, and failures that are printed of each part.
NUM_TOGETHER, NUM_SHOWN = 5, 20


class Fault(AssertionError):
    """What a case must not do."""


@dataclass(frozen=True)
class Part:
    """Cases of one kind. check: number of a case → what came out; a Fault if that must not be."""

    check: Check
    words: str
    size: int


def run_parts(
    name: str,
    parts: Mapping[str, Part],
    prepared: Prepared,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run the parts of a module with a command line of its own; returns 1 if a case failed."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.torture.{name}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--case", type=int, help="one case of the part that is named with a size above 0")
    for key, part in parts.items():
        parser.add_argument(f"--{key}", type=int, default=None, metavar="N", help=f"{part.words} ({part.size:,})")
    given = parser.parse_args(arguments)
    asked = {key: getattr(given, key) for key in parts}
    some = any(size is not None for size in asked.values())
    sizes = {key: (asked[key] or 0) if some else part.size for key, part in parts.items()}
    rows, num_faults = [], 0
    with open_pool(given.processes, prepared) as run:
        for key, part in parts.items():
            numbers = [given.case] if given.case is not None else list(range(sizes[key]))
            if not sizes[key]:
                continue
            began = time.monotonic()
            outcomes = run(part.check, [numbers[at : at + NUM_TOGETHER] for at in range(0, len(numbers), NUM_TOGETHER)])
            found = sum((each for each, _ in outcomes), Counter[str]())
            faults = [fault for _, each in outcomes for fault in each]
            rows.append((part.words, len(numbers), dict(found), len(faults), time.monotonic() - began))
            for number, text in faults[:NUM_SHOWN]:
                print(f"python -m tests.torture.{name} --{key} 1 --case {number}\n  {text[:600]}", flush=True)
            num_faults += len(faults)
    print_table(rows)
    return int(num_faults > 0)


@contextlib.contextmanager
def open_pool(processes: int, prepared: Prepared) -> Iterator[Callable[[Check, list[list[int]]], list[Outcome]]]:
    """While entered, a function that runs chunks of cases, in this process or in several."""
    if processes < 2:
        with prepared():
            yield lambda check, chunks: [run_chunk(check, chunk) for chunk in chunks]
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=enter, initargs=(prepared,)) as pool:
        yield lambda check, chunks: list(pool.map(run_chunk, [check] * len(chunks), chunks))


_entered = contextlib.ExitStack()


def enter(prepared: Prepared) -> None:
    """Enter a context for the life of a process of the pool."""
    _entered.enter_context(prepared())


def run_chunk(check: Check, numbers: Sequence[int]) -> Outcome:
    """What came out, counted, and (number, text) of each fault."""
    found, faults = Counter[str](), []
    for number in numbers:
        try:
            found[check(number)] += 1
        except Fault as fault:
            faults.append((number, str(fault)))
    return found, faults


def print_table(rows: Sequence[tuple[str, int, Mapping[str, int], int, float]]) -> None:
    """A table of Markdown, for docs/log.md."""
    print("\n| cases | tried | came out as | faults | s |\n|---|---|---|---|---|")
    for words, tried, found, faults, seconds in rows:
        outcomes = ", ".join(f"{name} {count:,}" for name, count in sorted(found.items()))
        print(f"| {words} | {tried:,} | {outcomes} | {faults:,} | {seconds:.0f} |")
