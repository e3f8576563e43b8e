"""The differences of two runs as text: options, values and environment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sota_exp.config.values import leaves
from sota_exp.report.numbers import plain_value
from sota_exp.runs.find import Run

#: The text where one of the two runs has no value.
ABSENT = "–"

Both = dict[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """(value of the first run, value of the second): by slot, by dotted key, by key of the environment."""

    choices: Both
    values: Both
    environment: Both

    @property
    def is_nothing(self) -> bool:
        return not (self.choices or self.values or self.environment)


def difference(one: Run, other: Run) -> Difference:
    """Everything in which two runs differ; the class of an option only if the options of its slot are equal."""
    choices = differing_of(reversed({**other.choices, **one.choices}), one.choices, other.choices)
    before, after = leaves(one.config), leaves(other.config)
    implied = {f"{slot.replace('/', '.')}.{name}" for slot in choices for name in ("_option_", "_target_")} | {
        f"{group}.name" for group in choices if "/" not in group
    }
    keys = [key for key in {**before, **after} if key not in implied]
    facts = one.environment, other.environment
    return Difference(
        choices=choices,
        values=differing_of(keys, before, after),
        environment=differing_of({**facts[0], **facts[1]}, *facts),
    )


def differing_of(keys: Iterable[str], one: Mapping[str, Any], other: Mapping[str, Any]) -> Both:
    return {key: (_text(one, key), _text(other, key)) for key in keys if one.get(key, ...) != other.get(key, ...)}


def _text(values: Mapping[str, Any], key: str) -> str:
    return plain_value(values.get(key, ABSENT))
