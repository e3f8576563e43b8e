"""Which of several arms differ from their reference: one sign-flip test over all of them, studentized maximum.

If nothing helps or hurts, a seed's differences (one an arm) are as likely as the same numbers with all signs turned. Turning the
signs of whole seeds keeps what the arms share, and the largest |t| over the arms of each turning says how far chance alone goes.
Source: Westfall and Young 1993, "Resampling-Based Multiple Testing"; Romano and Wolf 2005, Econometrica 73 (studentized).
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr

#: Up to this many seeds every turning is counted, 2^(n − 1) of them since |t| knows no sign; above, this many are drawn.
MOST_EXACT, NUM_DRAWN = 14, 20_000

#: |t| of equal data may differ in its last digits by the order of a sum.
TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Of every arm: the two-sided p-value of its own sign-flip test, and the one adjusted for all arms at once."""

    p_values: tuple[float, ...]
    p_adjusted: tuple[float, ...]


def sign_flips(num_seeds: int, seed: int = 0) -> NDArray[np.float64]:
    """Turnings of signs [F, num_seeds], ±1, the first of them none: all up to a global sign, or a seeded draw."""
    if num_seeds <= MOST_EXACT:
        rest = np.array(list(itertools.product((1.0, -1.0), repeat=num_seeds - 1)), np.float64)
        return np.column_stack([np.ones(len(rest)), rest.reshape(len(rest), num_seeds - 1)])
    drawn = np.random.default_rng(seed).choice(np.array([1.0, -1.0]), (NUM_DRAWN, num_seeds))
    drawn[0] = 1.0
    return drawn


def studentized(sums: NDArray[np.float64], squares: NDArray[np.float64], num: NDArray[np.int64]) -> NDArray[np.float64]:
    """|t| from sums of (turned) differences [..., m], sums of squares [m], and how many there are [m]; 0 for no spread at 0."""
    variance = np.maximum(squares - sums**2 / num, 0.0) / np.maximum(num - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(sums) / np.sqrt(num * variance)
    exact = variance <= 1e-12 * np.maximum(squares, 1e-300) / np.maximum(num - 1, 1)
    found: NDArray[np.float64] = np.where(exact, np.where(np.abs(sums) > 0, np.inf, 0.0), t)
    return found


def sign_flip_test(differences: ArrayLike, seed: int = 0) -> Joint:
    """The test of differences [seeds, arms]; NaN where a seed of an arm is missing. Every arm needs two seeds.

    p is the share of turnings with a statistic at least as large. Arms with other numbers of seeds are brought to one scale by
    their Student distributions before the maximum is taken.
    """
    table = np.asarray(differences, np.float64)
    if table.ndim != 2:
        raise ValueError(f"differences of shape {table.shape}: expected [seeds, arms]")
    there = np.isfinite(table)
    num = there.sum(0)
    if table.shape[1] == 0:
        return Joint(p_values=(), p_adjusted=())
    if num.min() < 2:
        raise ValueError(f"{num.min()} seed: a sign-flip test needs at least 2")
    filled = np.where(there, table, 0.0)
    statistics = studentized(sign_flips(len(table), seed) @ filled, (filled**2).sum(0), num)
    if len(set(num.tolist())) > 1:
        with np.errstate(divide="ignore"):
            statistics = -ndtri(np.maximum(stdtr(num - 1, -statistics), 1e-300))
    observed = statistics[0] * (1 - TOLERANCE)
    own = (statistics >= observed).mean(0)
    joint = (statistics.max(1)[:, None] >= observed).mean(0)
    return Joint(p_values=tuple(own.tolist()), p_adjusted=tuple(joint.tolist()))


def smallest_p_value(num_seeds: int) -> float:
    """What the clearest effect can reach with so many seeds: it and its mirror image of 2^n turnings."""
    return 2.0 ** (1 - num_seeds)
