"""The values that the JSON files of a run may have. Files of older versions and of strangers have no digests."""

import math
from collections.abc import Callable
from typing import Any

from sota_exp.runs.result_json import is_evaluation
from sota_exp.runs.status import COMPLETE_STATUSES, STATUSES

Check = Callable[[Any], bool]


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object) -> bool:
    """Whether a value is an integer from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_share(value: object) -> bool:
    """Whether a value is a number in [0, 1]."""
    return is_number(value) and 0 <= value <= 1  # type: ignore[operator]


def or_null(check: Check) -> Check:
    """`check`, or null, which stands for what was not measured."""
    return lambda value: value is None or check(value)


def is_table_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def is_list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def is_object_with(**checks: Check) -> Check:
    """Whether a value is an object in which these keys have legal values, a missing one as null; it may have others."""
    return lambda value: isinstance(value, dict) and all(check(value.get(key)) for key, check in checks.items())


def is_metrics(value: object) -> bool:
    """Whether a value is a table of numbers or nulls, in which accuracies are in [0, 1]."""
    return is_table_of(or_null(is_number))(value) and all(
        is_share(number)
        for name, number in value.items()  # type: ignore[attr-defined]
        if name.endswith("/accuracy") and number is not None
    )


#: Name of a file → its keys → what their values must be; `*` stands for all other keys. Missing keys are not looked at.
LEGAL: dict[str, dict[str, Check]] = {
    "result.json": {
        "status": STATUSES.__contains__,
        "reason": or_null(is_text),
        "fingerprint": is_text,
        "training_fingerprint": is_text,
        "seed": or_null(is_count),
        "choices": is_table_of(is_text),
        "metrics": is_metrics,
        "saved_epoch": or_null(is_count),
        "evaluated_images": is_table_of(is_count),
        "independent_images": is_table_of(lambda value: is_number(value) and value >= 1),
        "image_digests": is_table_of(is_text),
        **dict.fromkeys(("steps", "images_seen", "distinct_images", "resumed"), is_count),
        "seconds": is_table_of(is_number),
        **dict.fromkeys(("images_per_second", "peak_memory_bytes", "parameters"), or_null(is_number)),
        **dict.fromkeys(("flops_per_image", "train_flops_per_image"), or_null(is_number)),
        "versions": is_table_of(is_text),
        "per_class_accuracy": is_table_of(or_null(is_share)),
        "confusion_matrix": is_list_of(is_list_of(is_count)),
        "confused_pairs": is_list_of(
            is_object_with(label=is_text, prediction=is_text, images=is_count, share=is_number)
        ),
        "resolution": is_object_with(chosen=is_object_with(resize=is_count, size=is_count)),
        **dict.fromkeys(("device", "commit"), or_null(is_text)),
    },
    "start.json": {
        "id": is_text,
        "time": is_number,
        "fingerprint": is_text,
        "choices": or_null(is_table_of(is_text)),
        "data": is_object_with(
            classes=or_null(is_list_of(is_text)), counts=or_null(is_table_of(is_count)), digest=or_null(is_text)
        ),
        **dict.fromkeys(("device", "commit"), or_null(is_text)),
    },
    "metrics.jsonl": {
        **dict.fromkeys(("epoch", "step"), is_count),
        **dict.fromkeys(("seconds", "validate_seconds", "images_per_second"), is_number),
        "*": or_null(is_number),
    },
}


def find_illegal(name: str, found: object) -> str | None:
    """`key=value` of the first value that a JSON file of this name must not have; None if all are legal."""
    legal = LEGAL.get(name)
    if legal is None or not isinstance(found, dict):
        return None
    checks = ((key, legal.get(key) or legal.get("*")) for key in found)
    return next((f"{key}={found[key]}" for key, check in checks if check and not check(found[key])), None)


def find_missing_score(result: dict[str, Any]) -> str | None:
    """The key of the first number that every complete result has, and this one lacks; None if it has all."""
    if result["status"] not in COMPLETE_STATUSES:
        return None
    for key in ("metrics", "evaluated_images", "seconds", "choices", "per_class_accuracy"):
        if key not in result:
            return key
    scored = [f"{part}/{name}" for part in result["evaluated_images"] for name in ("accuracy", "loss", "ece")]
    trained = [] if is_evaluation(result) else ["best/epoch", "train/loss"]
    times = ["evaluate"] if is_evaluation(result) else ["train", "validate", "evaluate"]
    places = [("metrics", name) for name in (*scored, *trained)] + [("seconds", name) for name in times]
    return next((f"{key}.{name}" for key, name in places if result[key].get(name) is None), None)
