"""Reads `study.json` into a typed `StudyResult`; nothing is computed again. Absent and null values get defaults."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from sota_exp.config.formats import get_format
from sota_exp.errors import ConfigError
from sota_exp.report.study.study import ConfidenceInterval, StudyArm, StudyResult, WithHeadline


def read_study(directory: Path) -> StudyResult:
    """The study of a directory.

    Raises:
        ConfigError: `study.json` is missing, malformed, or of a later version.
    """
    path = directory / "study.json"
    try:
        tree = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no study can be read: {error}; sota-exp ablate writes it") from error
    try:
        get_format(tree, path)
        arms = tuple(parse_arm(arm, index) for index, arm in enumerate(tree["arms"]))
        name = tree.get("name") or directory.name
        named = {"name": name, "title": tree.get("title") or name, "directory": directory}
        study: StudyResult = convert(StudyResult, tree | named | {"arms": ()})
        return dataclasses.replace(study, arms=arms)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not the format of a study: {type(error).__name__}: {error}") from error


def parse_arm(tree: dict[str, Any], index: int) -> StudyArm:
    """The arm at `index` of the list.

    Raises:
        ValueError: a value of the arm is malformed.
    """
    name = str(tree.get("name", f"arm {index}"))
    try:
        arm: StudyArm = convert(StudyArm, tree | {"name": name, "label": tree.get("label") or name})
        return arm
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"arms[{index}] ({name}): {error}") from error


def read_headline(row: Mapping[str, Any]) -> WithHeadline:
    """The intervals and p-values of an arm, an effect or an interaction of `study.json`."""
    found: WithHeadline = convert(WithHeadline, row)
    return found


def convert(kind: Any, value: Any) -> Any:
    """A JSON value as the annotated type of a field: a data class, a tuple, a mapping or a plain type, or X | None."""
    first, *rest = get_args(kind) or (kind,)
    origin = get_origin(kind)
    if origin is UnionType:
        return convert(first, value)
    if origin is tuple:
        return tuple(convert(first, item) for item in value)
    if origin is Mapping:
        found = {convert(first, key): convert(rest[0], item) for key, item in value.items() if item is not None}
        return found if first is str else dict(sorted(found.items()))
    if kind is ConfidenceInterval:
        return parse_interval(value)
    if dataclasses.is_dataclass(first):
        given = {name: (hint, value.get(name)) for name, hint in get_type_hints(kind).items()}
        return kind(**{name: convert(hint, item) for name, (hint, item) in given.items() if item is not None})
    return value if kind is Any else kind(value)


def parse_interval(pair: Any) -> ConfidenceInterval | None:
    """The interval; None if an end is unknown."""
    low, high = (None, None) if pair is None else pair
    return None if low is None or high is None else ConfidenceInterval(low=float(low), high=float(high))
