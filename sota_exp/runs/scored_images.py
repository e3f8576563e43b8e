"""Which images a run scored: by their digest in its result, or by what older runs say of their data.

Two runs are paired by image where this proves that both scored the same images in the same order.
"""

from collections.abc import Mapping
from typing import Any

#: The parts of a data set that `evaluation.part` may name.
PARTS = ("test", "val", "train", "all")

#: Keys of `data` that decide which images a set's val and test are, where it has none of its own.
CUT_KEYS = ("split_seed", "val_fraction", "test_fraction")


def get_image_digest(result: Mapping[str, Any], part: str) -> str | None:
    """The digest of the images that a part of the data had, in order; None in results of older versions."""
    digest: str | None = (result.get("image_digests") or {}).get(part)
    return digest


def has_groups(result: Mapping[str, Any], part: str) -> bool:
    """Whether some of the images of a part vary together, so that `predictions.npz` has their groups."""
    return part in result.get("independent_images", {})


def get_independent_images(result: Mapping[str, Any], part: str) -> float:
    """How many images drawn one by one know the accuracy on a part as surely; all, unless some vary together."""
    num = float(result["evaluated_images"][part])
    return min(num, result.get("independent_images", {}).get(part, num))


def describe_cut(values: Mapping[str, Any]) -> list[Any]:
    """The values of a configuration that decide which images of a data set are scored."""
    data, scale = values.get("data") or {}, values.get("scale") or {}
    return [data.get("name"), *(data.get(key) for key in CUT_KEYS), scale.get("eval_images")]
