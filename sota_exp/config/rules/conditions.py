"""Rules and their conditions: on the option in a slot, and on values.

A condition is false if a value is missing or has another type; building the typed experiment reports such values.
"""

import functools
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sota_exp.config.configuration import Configuration

#: Whether a rule applies to a configuration.
RuleCondition = Callable[[Configuration], bool]

#: Reads a value from a configuration.
ValueReader = Callable[[Configuration], Any]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule that `fires` on some configurations: an error ends the command with status 2, a warning is logged."""

    name: str
    level: Literal["error", "warning"] = "warning"
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


def has_value(path: str, *legal: object) -> RuleCondition:
    """Whether the value at a dotted path is one of `legal`."""
    return values_satisfy(lambda value: value in legal, path)


def values_satisfy(holds: Callable[..., bool], *sources: str | ValueReader) -> RuleCondition:
    """Whether `holds` is true for values, each from a dotted path or a function; false if it cannot be computed.

    The keys of an option exist only where it is chosen, so a rule about a value needs no condition on the option.
    """
    readers = [functools.partial(get_value, path=source) if isinstance(source, str) else source for source in sources]

    def fires(run: Configuration) -> bool:
        try:
            return holds(*(read(run) for read in readers))
        except (LookupError, TypeError, AttributeError, ArithmeticError):
            return False

    return fires


def get_value(run: Configuration, path: str) -> Any:
    """The value at a dotted path; a LookupError or TypeError if there is none."""
    return functools.reduce(operator.getitem, path.split("."), run.values)


def count_processes() -> int:
    """Number of processes that torchrun started; 1 without torchrun."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() else 1


def compute_rank_batch_size(run: Configuration) -> float:
    """Images per optimizer step and process."""
    return float(run.values["batch_size"] / count_processes())


def compute_norm_batch_size(run: Configuration) -> float:
    """Images per forward pass of a norm layer: a micro-batch, or the batch of the process without accumulation."""
    batch = compute_rank_batch_size(run)
    return min(batch, run.values["schedule"]["accumulation"].get("micro_batch_size", batch))


def count_copies(run: Configuration) -> int:
    """Copies per image in a batch."""
    return run.values["augmentation"]["repeat"].get("num_repeats", 1)
