"""Paired differences of test accuracy between groups of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sota_exp.report.comparison.groups import SeedGroup
from sota_exp.runs.find import SavedRun
from sota_exp.statistics.paired import (
    Estimate,
    McNemarResult,
    bonett_price_interval,
    mcnemar_test,
    paired_t_interval,
)


@dataclass(frozen=True, kw_only=True)
class GroupDifference:
    """Test accuracy of `second` minus `first`, paired by image and by seed.

    images: interval for the sampling of test images. seeds: interval over seeds, if at least two are common.
    mcnemar: only for one run each. remark: which noise the intervals cover, or why there are none.
    """

    first: str
    second: str
    common_seeds: tuple[int, ...]
    images: Estimate | None = None
    seeds: Estimate | None = None
    mcnemar: McNemarResult | None = None
    remark: str


def have_same_images(one: SavedRun, other: SavedRun, split: str) -> bool:
    """Whether both were evaluated on the same images in the same order, by recorded data digest, classes and labels."""
    digests = {run.data_digest for run in (one, other)} - {None}
    first, second = one.labels(split), other.labels(split)
    if len(digests) > 1 or one.classes != other.classes or first is None or second is None:
        return False
    names = {run.config["data"].get("name") for run in (one, other)}
    return len(names) == 1 and np.array_equal(first, second)


def compare_groups(groups: Sequence[SeedGroup]) -> list[GroupDifference]:
    """Every group against the first; all pairs if there are at most three groups."""
    scored = [group for group in groups if all(run.correct("test") is not None for run in group.runs)]
    against = scored if len(scored) <= 3 else scored[:1]
    return [
        compare_pair(first, second)
        for index, first in enumerate(against)
        for second in scored[scored.index(first) + 1 :]
    ]


def compare_pair(first: SeedGroup, second: SeedGroup) -> GroupDifference:
    """The difference over the common seeds; over all seeds of both if none is common."""
    common = tuple(seed for seed in first.seeds if seed in second.seeds)
    if not have_same_images(first.first, second.first, "test"):
        remark = "not comparable: other test images or classes"
        return GroupDifference(first=first.name, second=second.name, common_seeds=common, remark=remark)
    before, after = (_load_correct(group, common or group.seeds) for group in (first, second))
    is_single = len(before) == len(after) == 1
    one, other = (matrix.mean(axis=1) for matrix in (before, after))
    return GroupDifference(
        first=first.name,
        second=second.name,
        common_seeds=common,
        images=bonett_price_interval(before, after),
        seeds=paired_t_interval(one, other, largest=1.0) if len(common) > 1 else None,
        mcnemar=mcnemar_test(before[0], after[0]) if is_single else None,
        remark=_explain_pairing(first, second, common),
    )


def _load_correct(group: SeedGroup, seeds: Sequence[int]) -> NDArray[np.bool_]:
    """Correctness on the test images, bool [seeds, N]."""
    return np.stack(group.collect_values(seeds, lambda run: run.correct("test")))


def _explain_pairing(first: SeedGroup, second: SeedGroup, common: tuple[int, ...]) -> str:
    if len(common) > 1:
        return f"paired over {len(common)} seeds"
    if len(common) == 1:
        return (
            "test-set noise only: one seed"
            if len(first.runs) == len(second.runs) == 1
            else (f"test-set noise only: one common seed, {common[0]}")
        )
    return "test-set noise only: no common seed, so the draw of the seed is in the difference"
