"""What would decide an open difference: so many seeds, so many test images, or neither.

Pure arithmetic: studies, sweeps and comparisons call `advise` and print the sentence of `describe_advice`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sota_exp.statistics.groups import NO_SPREAD
from sota_exp.statistics.paired import has_spread
from sota_exp.statistics.planned_effect import compute_images_quantile
from sota_exp.statistics.power import find_detectable_standardized_effect, find_num_seeds
from sota_exp.statistics.units import MetricFormat

#: Why a difference is open. same: right and wrong on the same images at every seed. equal: the difference is the same
#: at every seed, but not zero. noise: too few seeds to see any noise. none: the mean is zero. seeds, images: too few.
#: far: more seeds than are looked for. small: within the smallest effect of interest, so that nothing is left to show.
Reason = Literal["same", "equal", "noise", "none", "seeds", "images", "far", "small"]

#: Where the seeds are too few for any verdict, the images are those that so many seeds need.
LEAST_SEEDS = 8

#: Most differences that a sentence names.
MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What would decide a difference.

    effect: the size that it is about, that of interest or the one that was seen. num_seeds: seeds in all that show it.
    num_images: test images in all that show it with as many seeds as there are, for reason `images`. is_median: the
    seeds are those that half of the studies need, of looks at any time; else four of five show it with them.
    """

    reason: Reason
    effect: float
    num_seeds: int | None = None
    num_images: int | None = None
    is_median: bool = False


#: The seeds in all that show an effect of a size, if differences have a standard deviation; None: too many.
SeedsFinder = Callable[[float, float], int | None]


def make_seeds_finder(num_tests: int, level: float) -> SeedsFinder:
    """Of a fixed number of seeds, as `find_num_seeds` has it."""
    return lambda effect, sd: find_num_seeds(effect, sd, num_tests, level)


def advise(
    differences: ArrayLike,
    num_tests: int,
    level: float = 0.95,
    smallest: float | None = None,
    interval: tuple[float, float] | None = None,
    image_variance: float = 0.0,
    num_images: int | None = None,
    is_same: bool = False,
    find_seeds: SeedsFinder | None = None,
) -> Advice:
    """What would decide a difference whose verdict is open.

    differences: per pair of seeds, float [n]. smallest: the smallest effect of interest; None: the one that was seen.
    interval: of the mean. image_variance: of the mean, which no further seed removes but more than the `num_images`
    test images do. is_same: whether both were right on the same images at every seed. find_seeds: that of looks at any
    time; else of a fixed number of seeds.
    """
    found = np.asarray(differences, np.float64)
    effect = smallest or (abs(float(found.mean())) if len(found) else 0.0)
    if is_same:
        return Advice(reason="same", effect=effect)
    if len(found) < 2:
        return Advice(reason="noise", effect=effect)
    if not has_spread(found):
        return Advice(reason="equal", effect=effect)
    if smallest and interval and max(map(abs, interval)) < smallest:
        return Advice(reason="small", effect=effect)
    if effect <= NO_SPREAD:
        return Advice(reason="none", effect=effect)
    sd, left = float(found.std(ddof=1)), compute_images_quantile(num_tests, level) ** 2 * image_variance
    if num_images is not None and effect**2 <= left:
        factor = find_detectable_standardized_effect(max(len(found), LEAST_SEEDS), num_tests, level) or 0.0
        needed = num_images * (left + (factor * sd) ** 2) / effect**2
        return Advice(reason="images", effect=effect, num_images=math.ceil(needed))
    find = find_seeds or make_seeds_finder(num_tests, level)
    num_seeds = find(math.sqrt(effect**2 - left), sd)
    is_median = find_seeds is not None
    return Advice(reason="seeds" if num_seeds else "far", effect=effect, num_seeds=num_seeds, is_median=is_median)


def describe_advice(
    advice: Advice, num_images: int | None, unit: MetricFormat, is_wanted: bool, cost: Callable[[int], str]
) -> str:
    """What would decide a difference, without its name: `Seems to differ by 1.20 points; 12 seeds …`.

    num_images: those that were tested. is_wanted: the effect is the smallest of interest, not the one that was seen.
    cost: what a number of seeds takes, in words such as ` (3 min)`.
    """
    size = unit.size(advice.effect)
    seen, that = ("", f"an effect of {size}") if is_wanted else (f"seems to differ by {size}; ", "that")
    tested = f"the {num_images:,} test images" if num_images else "the test images"
    if advice.num_seeds is not None:
        chance = "half of the time" if advice.is_median else "with a chance of four in five"
        words = f"{seen}{advice.num_seeds:,} seeds{cost(advice.num_seeds)} would show {that} {chance}."
        return words[0].upper() + words[1:]
    instead = f" instead of {num_images:,}" if num_images else ""
    words = {
        "images": f"{seen}to show {that} for new images takes about {format_estimate(advice.num_images or 0)} test "
        f"images{instead}; more seeds alone don't.",
        "same": f"it is right on the same of {tested} as its reference at every seed: at this length it changes "
        "nothing that more seeds could show.",
        "equal": f"the difference is the same at every seed, so its noise is unknown: {tested} or the seeds are too "
        "few to show any.",
        "noise": f"fewer than two seeds of both, so the noise of training is unknown: 6 seeds{cost(6)} show it.",
        "none": "no effect is seen, so nothing says how many seeds it would take.",
        "far": f"{seen}no practical number of seeds shows {that}.",
        "small": f"the interval excludes effects of {size} and more, so for what is of interest it is decided.",
    }[advice.reason]
    return words[0].upper() + words[1:]


def describe_lack_of_images(
    advices: Mapping[str, Advice], num_images: int | None, unit: MetricFormat, is_wanted: bool
) -> str:
    """Differences of reason `images`, by name, in one sentence."""
    named = [
        f"{format_estimate(each.num_images or 0)} for {name}{'' if is_wanted else f' ({unit.size(each.effect)})'}"
        for name, each in advices.items()
    ]
    rest = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    size = unit.size(next(iter(advices.values())).effect)
    that = f"an effect of {size}" if is_wanted else "what these seem to differ by"
    instead = f" than the {num_images:,} here" if num_images else ""
    return (
        f"To show {that} for new images takes more test images{instead}, as more seeds alone don't: "
        f"about {', '.join(named[:MOST_NAMED])}{rest}."
    )


def format_estimate(num: float) -> str:
    """A number that rests on a noisy effect: two digits, such as `32,000`; more than anyone has in words."""
    return "a million or more" if num >= 1e6 else f"{float(f'{num:.2g}'):,.0f}"
