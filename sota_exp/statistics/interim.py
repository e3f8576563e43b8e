"""Interim analyses (looks) planned in advance: seeds are added only for arms that are still undecided.

At look k of n₁ < … < n_K seeds the alpha spent so far is α n_k / n_K; its increment is the level of the joint test at
that look. The levels sum to α, so the family-wise error is at most α however the looks are correlated (Bonferroni over
looks). Only a significant effect decides an arm; no arm is dropped for futility, because the tests of the remaining
arms would then be too liberal. Spending is linear because a sign-flip test of 8 seeds has no p-value small enough for
the first O'Brien–Fleming boundary.
Source: Lan and DeMets 1983, Biometrika 70 (alpha spending).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.statistics.sign_flip import sign_flip_test


def compute_look_levels(looks: Sequence[int], level: float = 0.95) -> list[float]:
    """The significance level of the test at each look, from the seeds at each look; they sum to 1 − level."""
    shares = np.diff([0, *looks]) / looks[-1]
    return [float(share) * (1 - level) for share in shares]


@dataclass(frozen=True, kw_only=True)
class InterimResult:
    """The results of the looks so far.

    done: number of seeds of each completed look at which an arm was still undecided. decided: arm → number of seeds at
    its decision. p_values, p_adjusted: of every arm that was tested, the latter to be compared with 1 − level. seeds:
    arm → number of seeds of its last test. evidence: of looks at any time, arm → its evidence over all arms after each
    seed (`combine_log_evidence`).
    """

    done: list[int] = field(default_factory=list)
    decided: dict[str, int] = field(default_factory=dict)
    p_values: dict[str, float] = field(default_factory=dict)
    p_adjusted: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    evidence: dict[str, list[float]] = field(default_factory=dict)


def run_interim_analyses(
    differences: Mapping[str, Mapping[int, float]],
    settled: Mapping[str, frozenset[int]],
    seeds: Sequence[int],
    looks: Sequence[int],
    level: float = 0.95,
) -> InterimResult:
    """Test the undecided arms at each look in order, up to the first look with a missing run.

    differences: arm → seed → paired difference. settled: arm → seeds whose runs, the reference's included, have
    finished or failed for good. seeds: all seeds in order. looks: number of seeds at each look. An arm with fewer than
    two differences at a look stays undecided.
    """
    found = InterimResult()
    for num, alpha in zip(looks, compute_look_levels(looks, level), strict=True):
        until = list(seeds[:num])
        open_arms = [name for name in differences if name not in found.decided]
        if not open_arms or not all(settled[name] >= set(until) for name in open_arms):
            break
        found.done.append(num)
        tested = [name for name in open_arms if len(differences[name].keys() & set(until)) > 1]
        joint = sign_flip_test(build_difference_matrix(differences, tested, until))
        for name, own, adjusted in zip(tested, joint.p_values, joint.p_adjusted, strict=True):
            scaled = min(1.0, adjusted * (1 - level) / alpha)
            found.p_values[name], found.seeds[name] = own, num
            found.p_adjusted[name] = min(scaled, found.p_adjusted.get(name, 1.0))
            if found.p_adjusted[name] <= 1 - level:
                found.decided[name] = num
    return found


def build_difference_matrix(
    differences: Mapping[Any, Mapping[int, float]], arms: Sequence[Any], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Differences, arm → seed → difference, as [seeds, arms]; NaN where one is missing."""
    return np.array([[differences[name].get(seed, np.nan) for name in arms] for seed in seeds])
