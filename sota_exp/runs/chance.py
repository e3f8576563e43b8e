"""Chance level: what a classifier scores that always names the most frequent class."""

from collections.abc import Mapping
from typing import Any


def compute_chance_accuracy(result: Mapping[str, Any]) -> float:
    """The share of the most frequent class among the test images of a run; of equal classes, without their numbers."""
    counts = [sum(row) for row in result.get("confusion_matrix") or ()]
    return max(counts) / sum(counts) if sum(counts) else 1 / max(1, len(result["per_class_accuracy"]))


def compute_chance_limit(chance: float) -> float:
    """The accuracy up to which a network is at chance level: 14.5 % for ten equal classes, 52.5 % for two.

    A twentieth of the way from chance to 1, but at most 1.5 times chance.
    """
    return min(1.5 * chance, chance + 0.05 * (1 - chance))


def is_at_chance(result: Mapping[str, Any], part: str = "test") -> bool:
    """Whether the accuracy of a run on a part of the data is at chance level; false where it was not measured."""
    accuracy = (result.get("metrics") or {}).get(f"{part}/accuracy")
    if accuracy is None or not result.get("per_class_accuracy"):
        return False
    return float(accuracy) <= compute_chance_limit(compute_chance_accuracy(result))


def describe_chance(result: Mapping[str, Any], part: str = "test") -> str:
    """That a training learned nothing, and what to try; empty where it is not at chance level."""
    if not is_at_chance(result, part):
        return ""
    return (
        f"At chance level: always naming the most frequent class has {100 * compute_chance_accuracy(result):.2f} %. "
        "This training learned next to nothing. Train longer, on more images, with another learning rate, or from "
        "pretrained weights (recipe=few_images for some hundreds of photographs)."
    )
