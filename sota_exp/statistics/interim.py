"""Seeds added where the verdict is open, at looks planned beforehand: how much error each look may spend, and what it decides.

Before look k of n₁ < … < n_K seeds the error spent is α n_k / n_K; what a look adds is the level of its joint test. The sum of the
levels is α, so the family's error is at most α whatever the looks share (Bonferroni over looks). An arm is decided by a clear
effect alone: none leaves for looking hopeless, which would make the remaining ones too easy.
Source: Lan and DeMets 1983, Biometrika 70 (spending functions); linear spending, because a sign-flip test of 8 seeds has no
p-value small enough for the first look of O'Brien and Fleming.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sota_exp.statistics.sign_flip import sign_flip_test


def spent_at(looks: Sequence[int], level: float = 0.95) -> list[float]:
    """The level of the test at each look; their sum is 1 − level."""
    shares = np.diff([0, *looks]) / looks[-1]
    return [float(share) * (1 - level) for share in shares]


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What the looks so far came to.

    done: the looks whose seeds are all there. decided: arm → seeds at its decision. p_values, p_adjusted: of every arm that was
    tested, the latter on the scale of 1 − level; seeds: how many it was last tested with.
    """

    done: list[int] = field(default_factory=list)
    decided: dict[str, int] = field(default_factory=dict)
    p_values: dict[str, float] = field(default_factory=dict)
    p_adjusted: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)


def look(
    differences: Mapping[str, Mapping[int, float]],
    settled: Mapping[str, frozenset[int]],
    seeds: Sequence[int],
    looks: Sequence[int],
    level: float = 0.95,
) -> Looked:
    """Go through the looks in order until one lacks a run.

    differences: arm → seed → paired difference. settled: arm → seeds that are finished or have failed for good, reference
    included. An arm with fewer than two differences at a look is left open.
    """
    found = Looked()
    for num, alpha in zip(looks, spent_at(looks, level), strict=True):
        until = list(seeds[:num])
        open_arms = [name for name in differences if name not in found.decided]
        if not all(settled[name] >= set(until) for name in open_arms):
            break
        found.done.append(num)
        tested = [name for name in open_arms if len(_there(differences[name], until)) > 1]
        if not tested:
            continue
        joint = sign_flip_test(_table(differences, tested, until))
        for name, own, adjusted in zip(tested, joint.p_values, joint.p_adjusted, strict=True):
            scaled = min(1.0, adjusted * (1 - level) / alpha)
            found.p_values[name], found.seeds[name] = own, num
            found.p_adjusted[name] = min(scaled, found.p_adjusted.get(name, 1.0))
            if adjusted <= alpha:
                found.decided[name] = num
    return found


def _there(differences: Mapping[int, float], seeds: Sequence[int]) -> list[float]:
    return [differences[seed] for seed in seeds if seed in differences]


def _table(
    differences: Mapping[str, Mapping[int, float]], arms: Sequence[str], seeds: Sequence[int]
) -> NDArray[np.float64]:
    return np.array([[differences[name].get(seed, np.nan) for name in arms] for seed in seeds])
