"""Whether training again gives bitwise the same run, and if not, how the environment differs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.report.comparison.config_difference import ValuePairs, find_config_difference, find_differing
from sota_exp.runs.find import SavedRun

#: What is not compared of a line of `metrics.jsonl`: times, and its number, which older versions count from 0.
UNCOMPARED = ("seconds", "validate_seconds", "images_per_second", "epoch")

#: Values of a result that are compared beside its metrics.
COUNTS = ("steps", "images_seen", "distinct_images", "evaluated_images")


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """An original run against its repetition; pairs are (original, again).

    is_same_training: same configuration and data, so the numbers must be equal. changed: options and values.
    compared: what was compared, as text. differing: by name; of the epochs only the first that differs.
    surroundings: differences of the environment.
    """

    is_same_training: bool
    changed: ValuePairs
    compared: list[str]
    differing: ValuePairs
    surroundings: ValuePairs


def compare_repetition(original: SavedRun, again: SavedRun) -> Repetition:
    """Compare all that both runs have: common epochs, scores, predictions, weights."""
    found = find_config_difference(original, again)
    # Fingerprints of different formats cannot be compared.
    comparable = original.result.get("format") == again.result.get("format")
    known = original.result.get("training_fingerprint") if comparable else None
    is_same = known == again.result.get("training_fingerprint") if known else not (found.choices or found.values)
    epochs = list(zip(original.epochs, again.epochs, strict=False))
    compared = [f"{len(epochs)} epoch{'s' * (len(epochs) != 1)} of metrics"] if epochs else []
    differing = find_differing_epoch(epochs)
    if original.is_complete and again.is_complete:
        scores = {**original.metrics, **again.metrics}
        compared.append(f"{len(scores)} scores")
        numbers = [run.metrics | {name: run.result.get(name) for name in COUNTS} for run in (original, again)]
        differing |= find_differing({**numbers[0], **numbers[1]}, *numbers)
        for name, are_same in (("predictions", have_same_predictions), ("weights", have_same_weights)):
            compared.append(name)
            differing |= {} if are_same(original, again) else {name: ("", "differ")}
    return Repetition(
        is_same_training=is_same,
        changed=found.choices | found.values,
        compared=compared,
        differing=differing,
        surroundings=found.environment,
    )


def find_differing_epoch(epochs: list[tuple[dict[str, Any], dict[str, Any]]]) -> ValuePairs:
    """The differing values of the first epoch that differs, without times."""
    for number, lines in enumerate(epochs, start=1):
        values = [{f"epoch {number}: {key}": line[key] for key in line if key not in UNCOMPARED} for line in lines]
        if found := find_differing({**values[0], **values[1]}, *values):
            return found
    return {}


def have_same_predictions(one: SavedRun, other: SavedRun) -> bool:
    """Whether all stored logits of val and test are equal: in half precision, where an older version stored a run's."""
    first, second = one.predictions(), other.predictions()
    return first.keys() == second.keys() and all(_are_equal(first[name], second[name]) for name in first)


def _are_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays are equal in the lower precision of both."""
    kind = min(one.dtype, other.dtype, key=lambda each: each.itemsize)
    with np.errstate(over="ignore"):
        return np.array_equal(one.astype(kind), other.astype(kind))


def have_same_weights(one: SavedRun, other: SavedRun) -> bool:
    paths = [run.directory / "model.safetensors" for run in (one, other)]
    return all(path.is_file() for path in paths) and paths[0].read_bytes() == paths[1].read_bytes()
