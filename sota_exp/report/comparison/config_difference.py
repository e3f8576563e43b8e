"""The differences of two runs as text: options, values and environment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sota_exp.config.values import flatten
from sota_exp.report.numbers import format_yaml_value
from sota_exp.runs.find import SavedRun

#: The text where one of the two runs has no value.
ABSENT = "–"

ValuePairs = dict[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class ConfigDifference:
    """(value of the first run, value of the second): by slot, by dotted key, by key of the environment."""

    choices: ValuePairs
    values: ValuePairs
    environment: ValuePairs


def find_config_difference(one: SavedRun, other: SavedRun) -> ConfigDifference:
    """Everything in which two runs differ; the class of an option only if the options of its slot are equal."""
    choices = find_differing(reversed({**other.choices, **one.choices}), one.choices, other.choices)
    before, after = flatten(one.config), flatten(other.config)
    implied = {f"{slot.replace('/', '.')}.{name}" for slot in choices for name in ("_option_", "_target_")} | {
        f"{group}.name" for group in choices if "/" not in group
    }
    facts = one.environment, other.environment
    return ConfigDifference(
        choices=choices,
        values=find_differing([key for key in {**before, **after} if key not in implied], before, after),
        environment=find_differing({**facts[0], **facts[1]}, *facts),
    )


def find_differing(keys: Iterable[str], one: Mapping[str, Any], other: Mapping[str, Any]) -> ValuePairs:
    return {
        key: (format_yaml_value(one.get(key, ABSENT)), format_yaml_value(other.get(key, ABSENT)))
        for key in keys
        if one.get(key, ...) != other.get(key, ...)
    }
