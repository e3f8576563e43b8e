"""A joint sign-flip test of several arms against their reference, with the studentized maximum.

Under the null hypothesis a seed's vector of differences (one per arm) is symmetric about zero. Flipping the signs of
whole seeds preserves the correlation between arms; the largest |t| over the arms of each sign flip gives the null
distribution that controls the family-wise error.
Source: Westfall and Young 1993, "Resampling-Based Multiple Testing"; Romano and Wolf 2005, Econometrica 73.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr

#: Up to this many seeds all 2^(n − 1) sign flips are enumerated (|t| ignores a global sign); above, this many are
#: drawn.
MAX_EXACT_SEEDS, NUM_DRAWN_FLIPS = 14, 20_000

#: Relative tolerance of comparisons: |t| of equal data may differ in the last digits with the order of summation.
TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class SignFlipResult:
    """Per arm: the two-sided p-value of its own sign-flip test, and the p-value adjusted over all arms."""

    p_values: tuple[float, ...]
    p_adjusted: tuple[float, ...]


@functools.lru_cache(maxsize=8)
def draw_sign_flips(num_seeds: int) -> NDArray[np.float64]:
    """Sign flips, ±1 [F, num_seeds], the first all +1: all of them up to a global sign, or a seeded random sample.

    It is made once and shared: do not write into it.
    """
    if num_seeds <= MAX_EXACT_SEEDS:
        rest = np.array(list(itertools.product((1.0, -1.0), repeat=num_seeds - 1)), np.float64)
        return np.column_stack([np.ones(len(rest)), rest.reshape(len(rest), num_seeds - 1)])
    drawn = np.random.default_rng(0).choice(np.array([1.0, -1.0]), (NUM_DRAWN_FLIPS, num_seeds))
    drawn[0] = 1.0
    return drawn


def compute_abs_t(
    sums: NDArray[np.float64], squares: NDArray[np.float64], num: NDArray[np.int64]
) -> NDArray[np.float64]:
    """|t| [..., m] from sums of sign-flipped differences [..., m], sums of squares [m] and numbers of differences [m].

    Without variance it is 0 for a zero sum and infinite otherwise.
    """
    variance = np.maximum(squares - sums**2 / num, 0.0) / np.maximum(num - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(sums) / np.sqrt(num * variance)
    exact = variance <= 1e-12 * np.maximum(squares, 1e-300) / np.maximum(num - 1, 1)
    found: NDArray[np.float64] = np.where(exact, np.where(np.abs(sums) > 0, np.inf, 0.0), t)
    return found


def sign_flip_test(differences: ArrayLike) -> SignFlipResult:
    """The sign-flip test of differences [seeds, arms], NaN where a seed of an arm is missing.

    p is the share of sign flips whose statistic is at least as large. Where arms have different numbers of seeds, |t|
    is converted to a normal quantile by each arm's Student t distribution before the maximum is taken.

    Raises:
        ValueError: the shape is not [seeds, arms], or an arm has fewer than two seeds.
    """
    matrix = np.asarray(differences, np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"differences of shape {matrix.shape}: expected [seeds, arms]")
    is_present = np.isfinite(matrix)
    num = is_present.sum(0)
    if matrix.shape[1] == 0:
        return SignFlipResult(p_values=(), p_adjusted=())
    if num.min() < 2:
        raise ValueError(f"{num.min()} seed: a sign-flip test needs at least 2")
    filled = np.where(is_present, matrix, 0.0)
    statistics = compute_abs_t(draw_sign_flips(len(matrix)) @ filled, (filled**2).sum(0), num)
    if len(set(num.tolist())) > 1:
        with np.errstate(divide="ignore"):
            statistics = -ndtri(np.maximum(stdtr(num - 1, -statistics), 1e-300))
    observed = statistics[0] * (1 - TOLERANCE)
    own = (statistics >= observed).mean(0)
    joint = (statistics.max(1)[:, None] >= observed).mean(0)
    return SignFlipResult(p_values=tuple(own.tolist()), p_adjusted=tuple(joint.tolist()))


def find_smallest_p_value(num_seeds: int) -> float:
    """The smallest p-value the test can give with this many seeds: 2 of 2^n sign flips."""
    return 2.0 ** (1 - num_seeds)
