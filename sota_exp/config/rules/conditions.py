"""Rules and their conditions: on the option in a slot, on the value of a key, and on several numbers.

A condition is false if a value is missing or has another type; building the typed experiment reports such values.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sota_exp.config.configuration import Configuration

Values = dict[str, Any]

#: Whether a rule applies to a configuration.
RuleCondition = Callable[[Configuration], bool]

#: Reads a number from a configuration; None if it is missing.
NumberReader = Callable[[Configuration], float | None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule that `fires` on some configurations: an error ends the command with status 2, a warning is logged."""

    name: str
    level: Literal["error", "warning"]
    condition: RuleCondition
    reason: str
    fix: str
    source: str

    def __str__(self) -> str:
        return f"{self.reason}. Instead: {self.fix} ({self.source})"


def has_option(slot: str, *options: str) -> RuleCondition:
    """Whether the slot has one of the options."""
    return lambda run: run.choices.get(slot) in options


def all_of(*conditions: RuleCondition) -> RuleCondition:
    """Whether all conditions hold."""
    return lambda run: all(condition(run) for condition in conditions)


def any_of(*conditions: RuleCondition) -> RuleCondition:
    """Whether any of the conditions holds."""
    return lambda run: any(condition(run) for condition in conditions)


def not_(condition: RuleCondition) -> RuleCondition:
    """Whether the condition does not hold."""
    return lambda run: not condition(run)


def has_technique(slot: str) -> RuleCondition:
    """Whether the slot has another option than `none`."""
    return lambda run: run.choices.get(slot, "none") != "none"


def get_value(values: Values, path: str) -> Any:
    """The value at a dotted path.

    Raises:
        LookupError: the path does not exist.
    """
    node: Any = values
    for name in path.split("."):
        if not isinstance(node, dict):
            raise LookupError(path)
        node = node[name]
    return node


def value_satisfies(path: str, holds: Callable[[Any], bool]) -> RuleCondition:
    """Whether the value at a dotted path exists and `holds` is true for it."""

    def fires(run: Configuration) -> bool:
        try:
            return bool(holds(get_value(run.values, path)))
        except (LookupError, TypeError, AttributeError):
            return False

    return fires


def read_number(path: str) -> NumberReader:
    """Reads the number at a dotted path."""

    def read(run: Configuration) -> float | None:
        try:
            found = get_value(run.values, path)
        except LookupError:
            return None
        return found if isinstance(found, int | float) and not isinstance(found, bool) else None

    return read


def numbers_satisfy(holds: Callable[..., bool], *sources: str | NumberReader) -> RuleCondition:
    """Whether all numbers, each from a dotted path or a function, exist and `holds` is true for them."""
    readers = [read_number(source) if isinstance(source, str) else source for source in sources]

    def fires(run: Configuration) -> bool:
        found = [read(run) for read in readers]
        return None not in found and holds(*found)

    return fires


def count_processes() -> int:
    """Number of processes that torchrun started; 1 without torchrun."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() else 1


def is_single_process(run: Configuration) -> bool:
    """Whether training runs in one process."""
    return count_processes() == 1


def compute_rank_batch_size(run: Configuration) -> float | None:
    """Images per optimizer step and process."""
    batch = read_number("batch_size")(run)
    return None if batch is None else batch / count_processes()


def compute_norm_batch_size(run: Configuration) -> float | None:
    """Images per forward pass of a norm layer: a micro-batch, or the batch of the process without accumulation."""
    batch = compute_rank_batch_size(run)
    micro = read_number("schedule.accumulation.micro_batch_size")(run)
    return batch if batch is None or micro is None else min(batch, micro)


def count_copies(run: Configuration) -> float | None:
    """Copies per image in a batch."""
    return read_number("augmentation.repeat.num_repeats")(run) or 1
