"""Power analysis of the sign-flip test: the smallest effect that n seeds detect, and the seeds that an effect needs.

With a standard deviation s of the paired differences, a study of m arms with n seeds detects an effect of e · s with
probability `DEFAULT_POWER`. For few seeds, where the p-values of the test are coarse, e(n, m) is simulated; for many it
comes from Student's t distribution. The other arms are assumed to be independent, which is slightly conservative for
arms that share a reference.
"""

import functools
import math
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrinc, stdtrit

from sota_exp.statistics.sign_flip import TOLERANCE, compute_abs_t, draw_sign_flips, find_smallest_p_value

#: The power: the probability that an effect of the given size is detected.
DEFAULT_POWER = 0.8

#: Up to this many seeds the test is simulated, with this many studies; above, Student's t is within 2 % of it.
MAX_SIMULATED_SEEDS, NUM_STUDIES = 9, 1500

#: Added to the power when Student's t is used: the coarser p-values of the test have less power.
POWER_MARGIN = 0.015

#: The upper limit of the search in `find_num_seeds`.
MAX_SEEDS = 5000


@functools.cache
def find_detectable_standardized_effect(num_seeds: int, num_arms: int, level: float = 0.95) -> float | None:
    """The smallest effect detected with `DEFAULT_POWER`, in standard deviations of the paired differences.

    None: too few seeds for any effect.
    """
    if num_seeds < 2 or find_smallest_p_value(num_seeds) > 1 - level:
        return None
    if num_seeds > MAX_SIMULATED_SEEDS:
        return _compute_effect_by_student(num_seeds, num_arms, level)
    study = _SimulatedStudies(num_seeds, num_arms)
    low, high = 0.0, 4.0
    if study.power(high, level) < DEFAULT_POWER:
        low, high = high, 64.0
        if study.power(high, level) < DEFAULT_POWER:
            return None
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if study.power(middle, level) < DEFAULT_POWER else (low, middle)
    return high


class _SimulatedStudies:
    """Seeded simulation of studies: one arm with a true effect among arms without, under standard normal noise."""

    def __init__(self, num_seeds: int, num_arms: int) -> None:
        rng = np.random.default_rng([num_seeds, num_arms])
        flips = draw_sign_flips(num_seeds)
        self.num = np.array(num_seeds)
        self.highest = np.zeros((len(flips), NUM_STUDIES), np.float32)
        for _ in range(num_arms - 1):
            noise = rng.standard_normal((num_seeds, NUM_STUDIES))
            np.maximum(self.highest, compute_abs_t(flips @ noise, (noise**2).sum(0), self.num), out=self.highest)
        self.noise = rng.standard_normal((num_seeds, NUM_STUDIES))
        self.flipped_sums, self.signs = flips @ self.noise, flips.sum(1, keepdims=True)

    def power(self, effect: float, level: float) -> float:
        """The share of studies that detect the true effect, minus two standard errors to be conservative."""
        squares = ((effect + self.noise) ** 2).sum(0)
        own: NDArray[np.float64] = compute_abs_t(effect * self.signs + self.flipped_sums, squares, self.num)
        p_adjusted = (np.maximum(self.highest, own) >= own[0] * (1 - TOLERANCE)).mean(0)
        share = float((p_adjusted <= 1 - level).mean())
        return share - 2 * math.sqrt(share * (1 - share) / NUM_STUDIES)


@functools.cache
def _compute_effect_by_student(num_seeds: int, num_arms: int, level: float) -> float:
    df = num_seeds - 1
    # Each arm has its own variance estimate, so the |t| are independent: the critical value is Student's at the Šidák
    # level.
    critical = float(stdtrit(df, (1 + level ** (1 / num_arms)) / 2))
    return float(nctdtrinc(df, 1 - (DEFAULT_POWER + POWER_MARGIN), critical)) / math.sqrt(num_seeds)


def find_detectable_difference(sd: float, num_seeds: int, num_arms: int, level: float = 0.95) -> float | None:
    """The smallest effect detected with `DEFAULT_POWER`; sd: of the paired differences. None: too few seeds."""
    effect = find_detectable_standardized_effect(num_seeds, num_arms, level)
    return None if effect is None else effect * sd


def find_detectable_main_effect(
    sd: float, num_cells: int, num_seeds: int, num_effects: int, level: float = 0.95
) -> float | None:
    """The smallest main effect of a two-level design detected with `DEFAULT_POWER`; None: no degrees of freedom.

    sd: of paired differences, so the standard deviation of a run is sd / √2, and that of an effect, a difference of the
    means of half the runs each, sd √(2 / runs). Critical value: Student's t at the Šidák level of all main effects and
    interactions, `num_effects`. With one seed the noise is estimated from the residuals of the model.
    """
    num_runs = num_cells * num_seeds
    df = (num_cells - 1) * (num_seeds - 1) if num_seeds > 1 else num_cells - 1 - num_effects
    if df < 1:
        return None
    critical = float(stdtrit(df, (1 + level ** (1 / num_effects)) / 2))
    return sd * math.sqrt(2 / num_runs) * (critical + float(stdtrit(df, DEFAULT_POWER)))


def find_num_seeds(effect: float, sd: float, num_arms: int, level: float = 0.95) -> int | None:
    """The fewest seeds with which `effect` is detectable; None where more than 5,000 are needed."""

    def is_enough(num: int) -> bool:
        found = find_detectable_difference(sd, num, num_arms, level)
        return found is not None and found <= effect

    found = bisect_left(range(MAX_SEEDS + 1), True, lo=3, key=is_enough)
    return found if found <= MAX_SEEDS else None


def assume_difference_sd(num_test: int) -> float:
    """The standard deviation of paired accuracy differences to assume before any run: √(0.2 / N).

    Two short trainings differ in correctness on a fifth of the N test images, independently per image: the explanation
    of the spread between runs in Jordan 2023, "Calibrated Chaos" (arXiv:2304.01910).
    """
    return math.sqrt(0.2 / num_test)
