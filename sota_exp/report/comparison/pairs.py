"""Paired differences of accuracy between groups of runs: on test, or on another part that evaluations scored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sota_exp.report.comparison.groups import SeedGroup
from sota_exp.runs.find import SavedRun
from sota_exp.runs.scored_images import PARTS, describe_cut
from sota_exp.statistics.paired import Estimate, McNemarResult, bonett_price_interval, mcnemar_test, paired_t_interval
from sota_exp.statistics.pooled import pool_correctness, pool_groups
from sota_exp.statistics.two_sources import MeanOfTwoSources, combine_crossed, combine_folds


@dataclass(frozen=True, kw_only=True)
class GroupDifference:
    """Accuracy of `second` minus `first`, paired by image and by seed.

    images: interval for the sampling of the images. seeds: interval over seeds, if at least two are common and their
    differences are not all equal. on_new: in new training runs on new images, where `seeds` is known. has_folds: each
    seed tested images of its own.
    mcnemar: only for one run each. remark: which noise the intervals cover, or why there are none.
    """

    first: str
    second: str
    common_seeds: tuple[int, ...]
    images: Estimate | None = None
    seeds: Estimate | None = None
    on_new: MeanOfTwoSources | None = None
    has_folds: bool = False
    mcnemar: McNemarResult | None = None
    remark: str

    @property
    def both(self) -> Estimate | None:
        """The interval for new training runs on new images."""
        return self.on_new.find_interval(largest=1.0) if self.on_new is not None else None


def explain_other_images(one: SavedRun, other: SavedRun, split: str) -> str | None:
    """Why the two cannot be paired by image; None if both scored the same images, with the same labels, in one order.

    Older runs do not say which images they scored: these are the same where the digest of the data, the values that
    cut val and test from them, and the labels are.
    """
    if one.classes != other.classes:
        return f"other classes ({len(other.classes)} and {len(one.classes)})"
    first, second = one.labels(split), other.labels(split)
    if first is None or second is None or not np.array_equal(first, second):
        return f"other {split} images"
    found = [run.image_digest(split) for run in (one, other)]
    if None not in found:
        return None if found[0] == found[1] else f"other {split} images"
    known = [run.data_digest for run in (one, other)]
    if None in known:
        return f"an evaluation of an older version does not say which {split} images it scored: evaluate again"
    cuts = [describe_cut(run.config) for run in (one, other)]
    return None if known[0] == known[1] and cuts[0] == cuts[1] else f"other {split} images"


def find_compared_part(groups: Sequence[SeedGroup]) -> str:
    """The part of the data on which groups are compared: test, unless at most one group scored it and more another."""
    return next((part for part in PARTS if len(_list_scored(groups, part)) > 1), "test")


def _list_scored(groups: Sequence[SeedGroup], part: str) -> list[SeedGroup]:
    return [group for group in groups if all(run.correct(part) is not None for run in group.runs)]


def compare_groups(groups: Sequence[SeedGroup], part: str) -> list[GroupDifference]:
    """Every group against the first, on a part of the data; all pairs if there are at most three groups."""
    scored = _list_scored(groups, part)
    against = scored if len(scored) <= 3 else scored[:1]
    return [
        compare_pair(first, second, part)
        for index, first in enumerate(against)
        for second in scored[scored.index(first) + 1 :]
    ]


def compare_pair(first: SeedGroup, second: SeedGroup, part: str) -> GroupDifference:
    """The difference on a part of the data over the common seeds; over all seeds of both if none is common.

    Seeds that are folds have images of their own, which are pooled.
    """
    common = tuple(seed for seed in first.seeds if seed in second.seeds)
    others = [run for run in (*first.runs, *second.runs) if run is not first.first]
    reason = next(filter(None, (explain_other_images(first.first, run, part) for run in others)), None)
    has_folds = reason is not None and _share_folds(first, second, common, part)
    if reason and not has_folds:
        remark = f"not comparable: {reason}"
        return GroupDifference(first=first.name, second=second.name, common_seeds=common, remark=remark)
    rows = [group.collect_values(common or group.seeds, lambda run: run.correct(part)) for group in (first, second)]
    is_single = len(rows[0]) == len(rows[1]) == 1
    one, other = ([each.mean() for each in correct] for correct in rows)
    if has_folds:
        images, of_groups = collect_numbers((first, second), common, part)
        before, after = (pool_correctness(correct, images) for correct in rows)
        groups = pool_groups(images, of_groups)
    else:
        before, after = (np.stack(correct).astype(np.float64) for correct in rows)
        groups = find_groups((first, second), common or first.seeds, part)
    seeds = paired_t_interval(one, other, largest=1.0) if len(common) > 1 else None
    is_new = part in ("test", "val")  # the networks were not trained on these
    on_new = None
    if seeds is not None and is_new and has_folds:
        on_new = combine_folds(
            [np.subtract(after, before, dtype=np.float64) for before, after in zip(*rows, strict=True)], of_groups
        )
    elif seeds is not None and is_new:
        on_new = combine_crossed(after - before, groups=groups)
    return GroupDifference(
        first=first.name,
        second=second.name,
        common_seeds=common,
        images=bonett_price_interval(before, after, groups=groups),
        seeds=seeds,
        on_new=on_new,
        has_folds=has_folds,
        mcnemar=mcnemar_test(before[0], after[0], groups) if is_single else None,
        remark=_explain_pairing(first, second, common, part, has_noise=seeds is not None)
        + ("" if groups is None else f"; {len(np.unique(groups)):,} groups of images"),
    )


def find_groups(pair: Sequence[SeedGroup], seeds: Sequence[int], part: str) -> NDArray[np.int64] | None:
    """Which of the images that all these runs scored vary together, as the first run says that knows, int64 [N]."""
    found = (run.groups(part) for group in pair for run in group.runs if run.seed in seeds)
    return next((each for each in found if each is not None), None)


def collect_numbers(
    pair: Sequence[SeedGroup], seeds: Sequence[int], part: str
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Of each seed that tested images of its own, the numbers of these and of their groups, int64 [n]."""
    images = pair[0].collect_values(seeds, lambda run: run.images(part))
    groups = [find_groups(pair, [seed], part) for seed in pair[0].seeds if seed in seeds]
    return images, [own if of is None else of for own, of in zip(images, groups, strict=True)]


def _share_folds(first: SeedGroup, second: SeedGroup, seeds: Sequence[int], part: str) -> bool:
    """Whether for each seed both scored the same images, which may be other ones for another seed, and say which."""
    runs = (group.collect_values(seeds, lambda run: run) for group in (first, second))
    pairs = list(zip(*runs, strict=True))
    return bool(pairs) and all(
        explain_other_images(one, other, part) is None and one.images(part) is not None for one, other in pairs
    )


def _explain_pairing(first: SeedGroup, second: SeedGroup, common: tuple[int, ...], part: str, has_noise: bool) -> str:
    noise = "noise of the images only" if part == "all" else f"{part}-set noise only"
    if len(common) > 1:
        unknown = f"the same difference at {len(common)} seeds, so the noise of seeds is unknown: {noise}"
        return f"paired over {len(common)} seeds" if has_noise else unknown
    if len(common) == 1:
        is_one_each = len(first.runs) == len(second.runs) == 1
        return f"{noise}: one seed" if is_one_each else f"{noise}: one common seed, {common[0]}"
    return f"{noise}: no common seed, so the draw of the seed is in the difference"
