"""How small an effect so many seeds can find, and how many seeds an effect needs: the sign-flip test's own power.

With a standard deviation s of the paired differences, an effect of e · s is found in `power` of studies of m arms with n seeds:
e(n, m) comes from simulated studies for few seeds, where the test's steps are coarse, and from Student's distribution for many. The other arms are taken to be independent, which asks for a little more than arms that share a reference need.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtrit

from sota_exp.statistics.sign_flip import TOLERANCE, sign_flips, smallest_p_value, studentized

#: The share of effects of the named size that are found.
POWER = 0.8

#: Up to this many seeds the test itself is simulated, in so many studies; above, Student's distribution is within 2 % of it.
MOST_SIMULATED, NUM_STUDIES = 9, 1500

#: Added to the power that is asked of Student's distribution, which the test's coarser steps fall short of.
SHORTFALL = 0.015

#: More seeds than this nobody trains.
MOST_SEEDS = 5000


@functools.cache
def standardized_effect(num_seeds: int, num_arms: int, level: float = 0.95, power: float = POWER) -> float | None:
    """The effect, in standard deviations of the paired differences, that is found in `power` of studies; None: no effect is."""
    if num_seeds < 2 or smallest_p_value(num_seeds) > 1 - level:
        return None
    if num_seeds > MOST_SIMULATED:
        return _by_student(num_seeds, num_arms, level, power)
    study = _Simulated(num_seeds, num_arms)
    low, high = 0.0, 4.0
    if study.power(high, level) < power:
        low, high = high, 64.0
        if study.power(high, level) < power:
            return None
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if study.power(middle, level) < power else (low, middle)
    return high


class _Simulated:
    """Studies of one planted effect among arms that do nothing, normal noise of standard deviation 1, all from one seed."""

    def __init__(self, num_seeds: int, num_arms: int) -> None:
        rng = np.random.default_rng([num_seeds, num_arms])
        flips = sign_flips(num_seeds)
        self.num = np.array(num_seeds)
        self.highest = np.zeros((len(flips), NUM_STUDIES), np.float32)
        for _ in range(num_arms - 1):
            noise = rng.standard_normal((num_seeds, NUM_STUDIES))
            np.maximum(self.highest, studentized(flips @ noise, (noise**2).sum(0), self.num), out=self.highest)
        self.noise = rng.standard_normal((num_seeds, NUM_STUDIES))
        self.turned, self.signs = flips @ self.noise, flips.sum(1, keepdims=True)

    def power(self, effect: float, level: float) -> float:
        """The share of studies in which the adjusted p-value of the planted effect is small enough, two standard errors less."""
        squares = ((effect + self.noise) ** 2).sum(0)
        own: NDArray[np.float64] = studentized(effect * self.signs + self.turned, squares, self.num)
        p_adjusted = (np.maximum(self.highest, own) >= own[0] * (1 - TOLERANCE)).mean(0)
        share = float((p_adjusted <= 1 - level).mean())
        return share - 2 * math.sqrt(share * (1 - share) / NUM_STUDIES)  # What the simulation can't have flattered.


@functools.cache
def _by_student(num_seeds: int, num_arms: int, level: float, power: float) -> float:
    df = num_seeds - 1
    # Each arm has its own estimate of variance: independent |t|, so the critical value is Student's at the Šidák level.
    critical = float(stdtrit(df, (1 + level ** (1 / num_arms)) / 2))
    low, high = 0.0, 64.0
    for _ in range(40):
        middle = (low + high) / 2
        found = 1 - float(nctdtr(df, middle * math.sqrt(num_seeds), critical))
        low, high = (middle, high) if found < min(power + SHORTFALL, 0.999) else (low, middle)
    return high


def detectable(sd: float, num_seeds: int, num_arms: int, level: float = 0.95, power: float = POWER) -> float | None:
    """The smallest effect that is found in `power` of studies, where paired differences vary by `sd`; None: too few seeds."""
    effect = standardized_effect(num_seeds, num_arms, level, power)
    return None if effect is None else effect * sd


def detectable_effect(
    sd: float, num_cells: int, num_seeds: int, num_factors: int, level: float = 0.95, power: float = POWER
) -> float | None:
    """The smallest main effect of a two-level design that is found in `power` of studies; None: nothing estimates the noise.

    sd: of paired differences, so a run varies by sd / √2, and an effect, a difference of two means of half of the runs, by
    sd √(2 / runs). Critical value: Student's at the Šidák level of the factors. One seed: noise from what the model leaves over.
    """
    num_runs = num_cells * num_seeds
    df = (num_cells - 1) * (num_seeds - 1) if num_seeds > 1 else num_cells - 1 - num_factors
    if df < 1:
        return None
    critical = float(stdtrit(df, (1 + level ** (1 / num_factors)) / 2))
    return sd * math.sqrt(2 / num_runs) * (critical + float(stdtrit(df, power)))


def seeds_needed(effect: float, sd: float, num_arms: int, level: float = 0.95, power: float = POWER) -> int | None:
    """The fewest seeds with which `effect` is detectable; None for more than 5,000."""

    def is_enough(num: int) -> bool:
        found = detectable(sd, num, num_arms, level, power)
        return found is not None and found <= effect

    low, high = 2, MOST_SEEDS
    if not is_enough(high):
        return None
    while high - low > 1:
        middle = math.isqrt(low * high) if high > 4 * low else (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def assumed_sd(num_test: int, disagreement: float = 0.2) -> float:
    """What paired differences of accuracy vary by before anything is run: √(disagreement / N).

    Two trainings differ in the correctness of a share of test images (a fifth, in short trainings), each image for itself. So
    Jordan 2023, "Calibrated Chaos" (arXiv:2304.01910), explains the spread between runs.
    """
    return math.sqrt(disagreement / num_test)
