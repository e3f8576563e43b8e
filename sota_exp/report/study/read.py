"""Reads `study.json` into a typed `Study`; nothing is computed again. Absent values are None or empty."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sota_exp.errors import ConfigError
from sota_exp.report.study.study import Arm, Change, Cost, Effect, Examples, Interval, Looks, Study

T = TypeVar("T")


def read_study(directory: Path) -> Study:
    """The study of a directory.

    Raises:
        ConfigError: `study.json` is missing or malformed.
    """
    path = directory / "study.json"
    try:
        tree = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no study can be read: {error}; sota-exp ablate writes it") from error
    try:
        return parse_study(tree, directory)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not the format of a study: {type(error).__name__}: {error}") from error


def parse_study(tree: dict[str, Any], directory: Path) -> Study:
    plan = tree.get("plan") or {}
    missing = tree.get("missing") or ()
    return Study(
        directory=directory,
        kind=str(tree.get("kind") or "study"),
        name=str(tree.get("name") or directory.name),
        title=str(tree.get("title") or tree.get("name") or directory.name),
        recipe=str(tree.get("recipe") or ""),
        data=str(tree.get("data") or ""),
        metric=str(tree["metric"]),
        level=float(tree.get("level") or 0.95),
        power=float(tree.get("power") or 0.8),
        seeds=tuple(int(seed) for seed in tree.get("seeds") or ()),
        budget=str(tree.get("budget") or "epochs"),
        command=str(tree.get("command") or ""),
        classes=tuple(map(str, tree.get("classes") or ())),
        num_test=tree.get("num_test"),
        environment=tree.get("environment") or {},
        arms=tuple(parse_arm(arm, index) for index, arm in enumerate(tree["arms"])),
        refused=tuple((str(each["name"]), str(each["reason"])) for each in tree.get("refused") or ()),
        rules=tuple((str(each.get("arm") or ""), str(each["message"])) for each in tree.get("rules") or ()),
        effects=tuple(parse_effect(each) for each in tree.get("effects") or ()),
        interactions=tuple(parse_effect(each) for each in tree.get("interactions") or ()),
        looks=parse_looks(tree.get("looks")),
        detectable=parse_mapping(plan.get("detectable"), int, float),
        seeds_needed=parse_mapping(plan.get("seeds_needed"), float, int),
        sd_assumed=parse_optional_float(plan.get("sd_assumed")),
        sd_source=str(plan.get("sd_source") or ""),
        notes=tuple(map(str, tree.get("notes") or ())),
        status=str(tree.get("status") or "complete"),
        missing=tuple((str(each["arm"]), each.get("seed"), str(each.get("reason") or "")) for each in missing),
    )


def parse_arm(tree: dict[str, Any], index: int) -> Arm:
    """The arm at `index` of the list.

    Raises:
        ValueError: a value of the arm is malformed.
    """
    name = str(tree.get("name", f"arm {index}"))
    try:
        return Arm(name=name, label=str(tree.get("label") or name), **parse_arm_plan(tree), **parse_arm_results(tree))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"arms[{index}] ({name}): {error}") from error


def parse_arm_plan(tree: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Arm` that describe what was run."""
    differences = tree.get("differences") or {}
    return {
        "reference": tree.get("reference"),
        "overrides": tuple(map(str, tree.get("overrides") or ())),
        "choices": tree.get("choices") or {},
        "differences": {str(key): (pair[0], pair[1]) for key, pair in differences.items()},
        "runs": parse_mapping(tree.get("runs"), int, str),
        "failures": parse_mapping(tree.get("failures"), int, str),
        "verdict": str(tree.get("verdict") or "reference"),
        "verdict_words": str(tree.get("verdict_words") or ""),
    }


def parse_arm_results(tree: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Arm` with its results."""
    calibration = tree.get("calibration") or {}
    values = parse_mapping(tree.get("values"), int, float)
    return {
        "n": int(tree.get("n") or len(values)),
        "mean": parse_optional_float(tree.get("mean")),
        "sd": parse_optional_float(tree.get("sd")),
        "values": values,
        "difference": parse_optional_float(tree.get("difference")),
        "interval": interval_of(tree.get("interval")),
        "p_adjusted": parse_optional_float(tree.get("p_adjusted")),
        "detectable": parse_optional_float(tree.get("detectable")),
        "examples": parse_examples(tree.get("examples")),
        "ece": parse_optional_float(calibration.get("ece")),
        "ece_change": parse_change(calibration),
        "classes": {str(name): parse_change(change) for name, change in (tree.get("classes") or {}).items()},
        "cost": parse_cost(tree.get("cost") or {}),
    }


def parse_change(tree: dict[str, Any] | None) -> Change:
    found = tree or {}
    return Change(difference=parse_optional_float(found.get("difference")), interval=interval_of(found.get("interval")))


def interval_of(pair: Any) -> Interval | None:
    """The interval; None if an end is unknown.

    Raises:
        ValueError: not two numbers.
    """
    if pair is None or None in pair:
        return None
    low, high = (float(end) for end in pair)
    return Interval(low=low, high=high)


def parse_examples(tree: dict[str, Any] | None) -> Examples | None:
    if not tree:
        return None
    return Examples(
        change=parse_change(tree),
        won=parse_optional_float(tree.get("won")),
        lost=parse_optional_float(tree.get("lost")),
    )


def parse_cost(tree: dict[str, Any]) -> Cost:
    names = ("seconds", "training_flops", "flops_per_image", "parameters", "peak_memory_bytes", "points_per_hour")
    change = Change(
        difference=parse_optional_float(tree.get("seconds_difference")), interval=interval_of(tree.get("interval"))
    )
    return Cost(seconds_change=change, **{name: parse_optional_float(tree.get(name)) for name in names})


def parse_effect(tree: dict[str, Any]) -> Effect:
    factors = tuple(map(str, tree.get("factors") or [tree["factor"]]))
    labels = tuple(str(tree.get("label") or "").split(" × "))
    return Effect(
        factors=factors,
        labels=labels if len(labels) == len(factors) and all(labels) else factors,
        estimate=parse_optional_float(tree.get("estimate")),
        interval=interval_of(tree.get("interval")),
        p_adjusted=parse_optional_float(tree.get("p_adjusted")),
        verdict=str(tree.get("verdict") or ""),
        aliases=tuple(map(format_alias, tree.get("aliases") or ())),
    )


def format_alias(alias: Any) -> str:
    """A list of factors as `a × b`."""
    return alias if isinstance(alias, str) else " × ".join(map(str, alias))


def parse_looks(tree: dict[str, Any] | None) -> Looks | None:
    if not tree:
        return None
    return Looks(
        planned=tuple(tree.get("planned") or ()),
        done=tuple(tree.get("done") or ()),
        alpha_spent=tuple(tree.get("alpha_spent") or ()),
        decided=tree.get("decided") or {},
    )


def parse_mapping(tree: dict[str, Any] | None, key: Callable[[str], Any], value: Callable[[Any], T]) -> dict[Any, T]:
    """The mapping with converted keys and values, sorted by key, without null values."""
    found = {key(name): value(item) for name, item in (tree or {}).items() if item is not None}
    return dict(sorted(found.items()))


def parse_optional_float(value: Any) -> float | None:
    return None if value is None else float(value)
