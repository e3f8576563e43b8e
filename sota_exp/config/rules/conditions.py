"""A rule, and what its condition is made of: the option in a slot, the value of a key, and arithmetic on several keys.

Every condition is false where a value is missing or of another type than it expects: that is the typed configuration's business.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sota_exp.config.configuration import Configuration

Values = dict[str, Any]

#: Whether a rule applies to a configuration.
Condition = Callable[[Configuration], bool]

#: A number out of a configuration; None where it has none.
Number = Callable[[Configuration], float | None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An error ends the command with status 2; a warning is said once and the run goes on."""

    name: str
    level: Literal["error", "warning"]
    fires: Condition
    reason: str
    mend: str
    source: str

    def __str__(self) -> str:
        return f"{self.reason}. Instead: {self.mend} ({self.source})"


def chosen(slot: str, *options: str) -> Condition:
    return lambda run: run.choices.get(slot) in options


def every(*conditions: Condition) -> Condition:
    return lambda run: all(condition(run) for condition in conditions)


def either(*conditions: Condition) -> Condition:
    return lambda run: any(condition(run) for condition in conditions)


def negated(condition: Condition) -> Condition:
    return lambda run: not condition(run)


def on(slot: str) -> Condition:
    """Whether the slot holds another option than `none`."""
    return lambda run: run.choices.get(slot, "none") != "none"


def at(values: Values, path: str) -> Any:
    """What is at a dotted path; raises `LookupError` where nothing is."""
    node: Any = values
    for name in path.split("."):
        if not isinstance(node, dict):
            raise LookupError(path)
        node = node[name]
    return node


def value(path: str, holds: Callable[[Any], bool]) -> Condition:
    """Whether the value at a dotted path is there and `holds`."""

    def fires(run: Configuration) -> bool:
        try:
            return bool(holds(at(run.values, path)))
        except (LookupError, TypeError, AttributeError):
            return False

    return fires


def number(path: str) -> Number:
    """The number at a dotted path."""

    def read(run: Configuration) -> float | None:
        try:
            found = at(run.values, path)
        except LookupError:
            return None
        return found if isinstance(found, int | float) and not isinstance(found, bool) else None

    return read


def numbers(holds: Callable[..., bool], *sources: str | Number) -> Condition:
    """Whether all numbers, each by its path or by a function, are there and `holds` of them."""
    readers = [number(source) if isinstance(source, str) else source for source in sources]

    def fires(run: Configuration) -> bool:
        found = [read(run) for read in readers]
        return None not in found and holds(*found)

    return fires


def num_processes() -> int:
    """How many processes torchrun started together; 1 without it."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() else 1


def one_process(run: Configuration) -> bool:
    return num_processes() == 1


def rank_batch(run: Configuration) -> float | None:
    """Images of one optimizer step on one process."""
    batch = number("batch_size")(run)
    return None if batch is None else batch / num_processes()


def seen_batch(run: Configuration) -> float | None:
    """Images that a norm layer sees at once: a micro-batch where there are several, else the process's batch."""
    batch = rank_batch(run)
    micro = number("schedule.accumulation.micro_batch_size")(run)
    return batch if batch is None or micro is None else min(batch, micro)


def copies(run: Configuration) -> float | None:
    """How many times an image is in a batch."""
    return number("augmentation.repeat.num_repeats")(run) or 1
