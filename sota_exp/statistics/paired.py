"""Intervals and tests for paired differences. Variation between seeds and sampling of the test set are kept apart.

`level` is the coverage of an interval: at 0.95 it contains the true value in 95 of 100 repetitions.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri, stdtrit

from sota_exp.statistics.groups import Groups

#: Differences whose range is at most this are equal but for rounding.
NO_SPREAD = 1e-12


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The mean of `n` differences, second minus first, and its confidence interval from `low` to `high`."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class McNemarResult:
    """Numbers of examples that only the second (`won`) or first (`lost`) classifier gets right; two-sided p-value."""

    won: int
    lost: int
    p_value: float


def compute_mean_and_sd(values: ArrayLike) -> tuple[float, float | None]:
    """Mean and sample standard deviation (denominator n − 1) of values [n]; the latter is None for a single value."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None


def has_spread(values: ArrayLike) -> bool:
    """Whether the values [n], n ≥ 1, are not all equal but for rounding.

    Accuracies are multiples of 1 / N of N test images, so a few differences of seeds are often equal. Their standard
    deviation of zero does not say that there is no noise, but that so few seeds and images do not show it.
    """
    return float(np.ptp(np.asarray(values, np.float64))) > NO_SPREAD


def paired_t_interval(
    first: ArrayLike, second: ArrayLike, level: float = 0.95, largest: float = math.inf
) -> Estimate | None:
    """Student's t interval for the mean of second − first, paired by position: one number per seed, float [n], n ≥ 2.

    d̄ ± t(n − 1) · s / √n, cut at ± `largest`, the largest possible difference: 1 for shares. None where all
    differences are equal, see `has_spread`: the formula would claim certainty.
    Source: Student 1908, "The probable error of a mean", Biometrika 6.

    Raises:
        ValueError: the shapes differ, or there are fewer than two pairs.
    """
    differences = _subtract(first, second)
    num = len(differences)
    if num < 2:
        raise ValueError(f"{num} pair: an interval over seeds needs at least 2")
    if not has_spread(differences):
        return None
    mean = float(differences.mean())
    margin = float(stdtrit(num - 1, (1 + level) / 2)) * float(differences.std(ddof=1)) / math.sqrt(num)
    return Estimate(mean=mean, low=max(-largest, mean - margin), high=min(largest, mean + margin), n=num)


def bonett_price_interval(
    first: ArrayLike, second: ArrayLike, level: float = 0.95, groups: ArrayLike | None = None
) -> Estimate:
    """Interval for the difference of two accuracies on the same n examples, for the sampling of examples, not of seeds.

    first, second: correctness, 0 or 1, [n] or [seeds, n]; they may have different numbers of seeds. Bonett and Price's
    adjusted Wald interval: add one won and one lost example, then d̃ ± z · √((Σd² + 2) / (n + 2) − d̃²) / √(n + 2) with
    d̃ = Σd / (n + 2). So the width is not zero even where both classifiers are always right. `mean` is the unadjusted
    difference. Over S seeds (the smaller number) d is the difference of means, whose square is smaller, and 2 / S is
    added instead of 2: with 2 the interval of 8 seeds and 200 examples is up to 60 % too wide, with 2 / S it covers
    95 to 98 %.
    groups: of the examples, int [n]; None: each is one of its own. With groups the squares are of their sums, and
    Student's t stands for z.
    Source: Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", Journal of Educational and Behavioral Statistics 37.

    Raises:
        ValueError: the shapes differ, or there are no examples.
    """
    one, other = (np.atleast_2d(np.asarray(each, np.float64)) for each in (first, second))
    differences = _subtract(one.mean(axis=0), other.mean(axis=0))
    drawn = Groups.read(groups, len(differences))
    middle, variance = adjust_for_few_images(differences, min(len(one), len(other)), drawn)
    quantile = float(ndtri((1 + level) / 2) if groups is None else stdtrit(drawn.df, (1 + level) / 2))
    margin = quantile * math.sqrt(variance)
    low, high = max(-1.0, middle - margin), min(1.0, middle + margin)
    return Estimate(mean=float(differences.mean()), low=low, high=high, n=len(differences))


def adjust_for_few_images(differences: NDArray[np.float64], num_seeds: int, groups: Groups) -> tuple[float, float]:
    """Bonett and Price's middle of an interval, and the variance of the mean: see `bonett_price_interval`.

    differences: of the mean correctness of every image over `num_seeds` seeds, float [n].
    """
    num = len(differences)
    middle = float(differences.sum()) / (num + 2)
    squares = groups.sum_squares(differences - middle) * (num - 1) / num + 2 / num_seeds + 2 * middle**2
    return middle, squares / (num + 2) ** 2


def mcnemar_test(first: ArrayLike, second: ArrayLike) -> McNemarResult:
    """McNemar's exact test of equal accuracy on the same examples; first, second: correctness, bool [n].

    Of the won + lost examples on which the two differ, `won` is binomial with probability ½ under the null hypothesis:
    p = min(1, 2 · P(X ≤ min(won, lost))).
    Source: McNemar 1947, Psychometrika 12; exact form: Fagerland et al. 2013, BMC Med. Res. Methodol. 13:91.
    """
    one, other = np.asarray(first, bool), np.asarray(second, bool)
    won, lost = int((other & ~one).sum()), int((one & ~other).sum())
    p_value = min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5))) if won + lost else 1.0
    return McNemarResult(won=won, lost=lost, p_value=p_value)


def _subtract(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"not paired: shapes {one.shape} and {other.shape}; expected twice the same [n]")
    return other - one
