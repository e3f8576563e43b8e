"""`study.json` to a typed `Study`."""

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
        ConfigError: `study.json` is not there or not that of a study; names the file, the place in it and what is wrong.
    """
    path = directory / "study.json"
    try:
        tree = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no study can be read: {error}") from error
    try:
        return study_of(tree, directory)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not what a study writes: {type(error).__name__}: {error}") from error


def study_of(tree: dict[str, Any], directory: Path) -> Study:
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
        arms=tuple(arm_of(arm, index) for index, arm in enumerate(tree["arms"])),
        refused=tuple((str(each["name"]), str(each["reason"])) for each in tree.get("refused") or ()),
        rules=tuple((str(each.get("arm") or ""), str(each["message"])) for each in tree.get("rules") or ()),
        effects=tuple(effect_of(each) for each in tree.get("effects") or ()),
        interactions=tuple(effect_of(each) for each in tree.get("interactions") or ()),
        looks=looks_of(tree.get("looks")),
        detectable=keyed(plan.get("detectable"), int, float),
        seeds_needed=keyed(plan.get("seeds_needed"), float, int),
        sd_assumed=optional(plan.get("sd_assumed")),
        sd_source=str(plan.get("sd_source") or ""),
        notes=tuple(map(str, tree.get("notes") or ())),
        status=str(tree.get("status") or "complete"),
        missing=tuple((str(each["arm"]), each.get("seed"), str(each.get("reason") or "")) for each in missing),
    )


def arm_of(tree: dict[str, Any], index: int) -> Arm:
    """The arm at a place of the list.

    Raises:
        ValueError: a part is not what it must be; names the arm and the part.
    """
    name = str(tree.get("name", f"arm {index}"))
    try:
        return Arm(name=name, label=str(tree.get("label") or name), **said(tree), **measured(tree))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"arms[{index}] ({name}): {error}") from error


def said(tree: dict[str, Any]) -> dict[str, Any]:
    """What the arm is, as fields of `Arm`."""
    differences = tree.get("differences") or {}
    return {
        "reference": tree.get("reference"),
        "overrides": tuple(map(str, tree.get("overrides") or ())),
        "choices": tree.get("choices") or {},
        "differences": {str(key): (pair[0], pair[1]) for key, pair in differences.items()},
        "runs": keyed(tree.get("runs"), int, str),
        "failures": keyed(tree.get("failures"), int, str),
        "verdict": str(tree.get("verdict") or "reference"),
        "verdict_words": str(tree.get("verdict_words") or ""),
    }


def measured(tree: dict[str, Any]) -> dict[str, Any]:
    """What came out of the arm, as fields of `Arm`."""
    calibration = tree.get("calibration") or {}
    values = keyed(tree.get("values"), int, float)
    return {
        "n": int(tree.get("n") or len(values)),
        "mean": optional(tree.get("mean")),
        "sd": optional(tree.get("sd")),
        "values": values,
        "difference": optional(tree.get("difference")),
        "interval": interval_of(tree.get("interval")),
        "p_value": optional(tree.get("p_value")),
        "p_adjusted": optional(tree.get("p_adjusted")),
        "detectable": optional(tree.get("detectable")),
        "examples": examples_of(tree.get("examples")),
        "ece": optional(calibration.get("ece")),
        "ece_change": change_of(calibration),
        "classes": {str(name): change_of(change) for name, change in (tree.get("classes") or {}).items()},
        "cost": cost_of(tree.get("cost") or {}),
    }


def change_of(tree: dict[str, Any] | None) -> Change:
    found = tree or {}
    return Change(difference=optional(found.get("difference")), interval=interval_of(found.get("interval")))


def interval_of(pair: Any) -> Interval | None:
    """None where an end is unknown.

    Raises:
        ValueError: not two numbers.
    """
    if pair is None or None in pair:
        return None
    low, high = (float(end) for end in pair)
    return Interval(low=low, high=high)


def examples_of(tree: dict[str, Any] | None) -> Examples | None:
    if not tree:
        return None
    return Examples(change=change_of(tree), won=optional(tree.get("won")), lost=optional(tree.get("lost")))


def cost_of(tree: dict[str, Any]) -> Cost:
    names = ("seconds", "training_flops", "flops_per_image", "parameters", "peak_memory_bytes", "points_per_hour")
    change = Change(difference=optional(tree.get("seconds_difference")), interval=interval_of(tree.get("interval")))
    return Cost(seconds_change=change, **{name: optional(tree.get(name)) for name in names})


def effect_of(tree: dict[str, Any]) -> Effect:
    factors = tuple(map(str, tree.get("factors") or [tree["factor"]]))
    labels = tuple(str(tree.get("label") or "").split(" × "))
    return Effect(
        factors=factors,
        labels=labels if len(labels) == len(factors) and all(labels) else factors,
        estimate=optional(tree.get("estimate")),
        interval=interval_of(tree.get("interval")),
        p_adjusted=optional(tree.get("p_adjusted")),
        verdict=str(tree.get("verdict") or ""),
        aliases=tuple(map(spelled, tree.get("aliases") or ())),
    )


def spelled(alias: Any) -> str:
    """`a × b` of a list of factors."""
    return alias if isinstance(alias, str) else " × ".join(map(str, alias))


def looks_of(tree: dict[str, Any] | None) -> Looks | None:
    if not tree:
        return None
    return Looks(
        planned=tuple(tree.get("planned") or ()),
        done=tuple(tree.get("done") or ()),
        alpha_spent=tuple(tree.get("alpha_spent") or ()),
        decided=tree.get("decided") or {},
    )


def keyed(tree: dict[str, Any] | None, key: Callable[[str], Any], value: Callable[[Any], T]) -> dict[Any, T]:
    """A mapping with its keys and values made of their kinds, in the order of its keys; what is null is left out."""
    found = {key(name): value(item) for name, item in (tree or {}).items() if item is not None}
    return dict(sorted(found.items()))


def optional(value: Any) -> float | None:
    return None if value is None else float(value)
