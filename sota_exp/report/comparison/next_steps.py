"""What would decide the open differences of a comparison."""

from collections.abc import Callable, Sequence

import numpy as np

from sota_exp.report.comparison.groups import SeedGroup
from sota_exp.report.comparison.pairs import GroupDifference, collect_numbers, find_groups
from sota_exp.report.numbers import format_duration
from sota_exp.runs.chance import is_at_chance
from sota_exp.statistics.planned_effect import estimate_noise, estimate_noise_of_folds
from sota_exp.statistics.units import SHARE_FORMAT
from sota_exp.statistics.what_next import Advice, advise, describe_advice

#: Most pairs that have a line each.
MOST_LISTED = 6

NOTHING_LEARNED = (
    "None of these runs learned anything: all are at chance level, so more seeds or images decide nothing. Train "
    "longer, on more images, or with another learning rate."
)

HOW = (
    "If effects are as they seem. Seeds added until an interval excludes zero make wrong ones more frequent: choose "
    "their number first, or compare in a study with study.looks=anytime."
)


def list_next_steps(groups: Sequence[SeedGroup], pairs: Sequence[GroupDifference], part: str) -> list[str]:
    """Sentences: first what nothing can be learned from. part: that of the data on which accuracies are compared."""
    by_name = {group.name: group for group in groups}
    compared = [each for each in pairs if each.images is not None]
    if not compared:
        return []
    if all(is_at_chance(run.result, part) for group in groups for run in group.runs):
        return [NOTHING_LEARNED]
    found = []
    for each in filter(_is_open, compared):
        first, second = by_name[each.first], by_name[each.second]
        advice, num_images = advise_on_pair(each, first, second, part)
        seconds = sum(_measure_seconds(group) for group in (first, second))
        words = describe_advice(advice, num_images, SHARE_FORMAT, False, _make_cost(seconds))
        found.append((advice, f"{each.second} − {each.first}: {words}"))
    if not found:
        return ["Nothing is open: every interval over seeds and images excludes zero."]
    found.sort(key=lambda item: item[0].reason not in ("same", "equal"))
    rest = [f"{len(found) - MOST_LISTED} more pairs are open."] if len(found) > MOST_LISTED else []
    how = [HOW] if any(advice.num_seeds for advice, _ in found) else []
    return [*(words for _, words in found[:MOST_LISTED]), *rest, *how]


def _is_open(each: GroupDifference) -> bool:
    """Whether the interval over seeds and images contains zero, or is unknown."""
    found = each.both or each.seeds
    return found is None or found.low <= 0 <= found.high


def advise_on_pair(each: GroupDifference, first: SeedGroup, second: SeedGroup, part: str) -> tuple[Advice, int | None]:
    """What would decide a pair, and the number of images that it tested."""
    seeds = each.common_seeds
    before, after = (group.collect_values(seeds, lambda run: run.correct(part)) for group in (first, second))
    rows = [np.subtract(one, other, dtype=np.float64) for one, other in zip(after, before, strict=True)]
    differences = [float(row.mean()) for row in rows]
    is_same = len(seeds) > 1 and not any(row.any() for row in rows)
    scored, noise = first.first.correct(part), None
    num_images = 0 if scored is None else len(scored)
    if len(seeds) > 1 and each.has_folds:
        images, groups = collect_numbers((first, second), seeds, part)
        num_images, noise = len(np.unique(np.concatenate(images))), estimate_noise_of_folds(rows, groups)
    elif len(seeds) > 1 and num_images > 1:
        noise = estimate_noise(np.array(rows), find_groups((first, second), seeds, part))
    variance = 0.0 if noise is None else noise.images / num_images
    return advise(differences, 1, image_variance=variance, num_images=num_images, is_same=is_same), num_images


def _make_cost(seconds: float) -> Callable[[int], str]:
    return lambda num: f" ({format_duration(num * seconds)})"


def _measure_seconds(group: SeedGroup) -> float:
    """Mean seconds of a run."""
    return float(np.mean([sum((run.result.get("seconds") or {}).values()) for run in group.runs]))
