"""How many seeds each kind of looks takes, simulated: fixed seeds, planned looks, looks at any time.

Differences are normal; effects are in standard deviations of a difference. One arm has the effect and the others have
none, so that its evidence is needed as often as there are arms. The random numbers are always the same.
"""

import functools
import math
from collections.abc import Sequence
from types import EllipsisType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from sota_exp.statistics.anytime import compute_log_evidence
from sota_exp.statistics.interim import compute_look_levels
from sota_exp.statistics.looks_cost import LooksCost
from sota_exp.statistics.paired import has_spread
from sota_exp.statistics.power import DEFAULT_POWER, find_num_seeds
from sota_exp.statistics.sign_flip import find_smallest_p_value

#: Simulated studies, and the most seeds of each.
NUM_SIMULATED, MAX_SIMULATED_SEEDS = 1000, 1000

#: Most further seeds that `estimate_further_seeds` looks ahead.
MAX_FURTHER_SEEDS = 200

#: Looks of a plan that names none, as shares of its last one.
LOOK_SHARES = (0.5, 0.75, 1.0)


@functools.cache
def _draw_noise(num_seeds: int) -> NDArray[np.float64]:
    """Standard normal [NUM_SIMULATED, num_seeds]; more seeds extend every study."""
    return np.ascontiguousarray(np.random.default_rng(0).standard_normal((num_seeds, NUM_SIMULATED)).T)


def simulate_anytime_seeds(
    effect: float,
    num_arms: int,
    num_seeds: int,
    level: float = 0.95,
    among: NDArray[np.bool_] | EllipsisType = ...,
) -> NDArray[np.float64]:
    """Seeds until looks at any time decide the arm with the effect [NUM_SIMULATED]; infinite where later than these.

    among: the studies to simulate, bool [NUM_SIMULATED]; all by default.
    """
    logs = compute_log_evidence(effect + _draw_noise(num_seeds)[among])
    return _find_first(logs >= math.log(num_arms / (1 - level)))


def _find_first(is_decided: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The first seed, from 1, of each row [studies, seeds]; infinite without one."""
    return np.where(is_decided.any(-1), is_decided.argmax(-1) + 1.0, np.inf)


@functools.cache
def find_detectable_anytime_effect(num_seeds: int, num_arms: int, level: float = 0.95) -> float | None:
    """The smallest effect that looks at any time decide within these seeds with `DEFAULT_POWER`; None: too few."""
    if find_smallest_p_value(num_seeds) > 1 - level:
        return None

    def is_shown(effect: float) -> bool:
        share = float(np.isfinite(simulate_anytime_seeds(effect, num_arms, num_seeds, level)).mean())
        return share - 2 * math.sqrt(share * (1 - share) / NUM_SIMULATED) >= DEFAULT_POWER

    low, high = 0.0, 64.0
    if not is_shown(high):
        return None
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if is_shown(middle) else (middle, high)
    return high


def find_num_anytime_seeds(
    effect: float, num_arms: int, level: float = 0.95, power: float = DEFAULT_POWER
) -> int | None:
    """The seeds within which a share `power` of studies decide the effect; None: more than `MAX_SIMULATED_SEEDS`."""
    found = np.full(NUM_SIMULATED, np.inf)
    for num_seeds in (40, 200, MAX_SIMULATED_SEEDS):
        is_open = np.isinf(found)
        found[is_open] = simulate_anytime_seeds(effect, num_arms, num_seeds, level, is_open)
        num = np.sort(found)[int(power * NUM_SIMULATED)]
        if np.isfinite(num):
            return int(num)
    return None


def compute_costs_of_looks(
    effect: float, num_arms: int, level: float = 0.95, looks: Sequence[int] | None = None
) -> list[LooksCost]:
    """The cost of each kind of looks, with as many seeds as show the effect with `DEFAULT_POWER`.

    looks: the planned ones; None: half, three quarters and all of as many seeds as needed. A kind that needs more than
    `MAX_SIMULATED_SEEDS` is left out.
    """
    found = []
    fixed = find_num_seeds(effect, 1.0, num_arms, level)
    if fixed is not None and fixed <= MAX_SIMULATED_SEEDS:
        found.append(LooksCost(kind="fixed", most=fixed, with_effect=fixed, without=fixed, power=DEFAULT_POWER))
        longest = range(fixed, min(2 * fixed, MAX_SIMULATED_SEEDS) + 1)
        plans = [looks] if looks else [sorted({math.ceil(share * num) for share in LOOK_SHARES}) for num in longest]
        for planned in plans:
            cost = _compute_cost("planned", planned[-1], effect, num_arms, level, planned)
            if looks or cost.power >= DEFAULT_POWER:
                found.append(cost)
                break
    most = find_num_anytime_seeds(effect, num_arms, level)
    return found if most is None else [*found, _compute_cost("anytime", most, effect, num_arms, level)]


def _compute_cost(
    kind: str, most: int, effect: float, num_arms: int, level: float, looks: Sequence[int] = ()
) -> LooksCost:
    with_effect, without = (
        _simulate_planned_seeds(each, num_arms, looks, level)
        if looks
        else simulate_anytime_seeds(each, num_arms, most, level)
        for each in (effect, 0.0)
    )
    means = [float(np.minimum(each, most).mean()) for each in (with_effect, without)]
    power = float(np.isfinite(with_effect).mean())
    return LooksCost(kind=kind, most=most, with_effect=means[0], without=means[1], power=power)


def _simulate_planned_seeds(effect: float, num_arms: int, looks: Sequence[int], level: float) -> NDArray[np.float64]:
    """Seeds at the look that decides the arm [NUM_SIMULATED]; infinite where none does.

    By Student's t at the Šidák level of each look, as in `power`; a look with too few seeds for its level decides none.
    """
    values = effect + _draw_noise(looks[-1])
    decided = np.full(NUM_SIMULATED, np.inf)
    for num, alpha in zip(looks, compute_look_levels(looks, level), strict=True):
        part = values[:, :num]
        t = np.abs(part.mean(1)) * math.sqrt(num) / part.std(1, ddof=1)
        is_high = t >= float(stdtrit(num - 1, (1 + (1 - alpha) ** (1 / num_arms)) / 2))
        if find_smallest_p_value(num) <= alpha:
            decided = np.minimum(decided, np.where(is_high, num, np.inf))
    return decided


def estimate_further_seeds(differences: ArrayLike, factor: float) -> int | None:
    """The median of the seeds until the evidence of an arm grows by `factor`, if the effect and spread are those seen.

    differences: float [n], n ≥ 2. None: more than `MAX_FURTHER_SEEDS`, or the differences are equal.
    """
    seen = np.asarray(differences, np.float64)
    if not has_spread(seen):
        return None
    later = seen.mean() + seen.std(ddof=1) * _draw_noise(MAX_FURTHER_SEEDS)
    together = np.concatenate([np.broadcast_to(seen, (NUM_SIMULATED, len(seen))), later], axis=1)
    logs = compute_log_evidence(together)[:, len(seen) - 1 :]
    median = float(np.median(_find_first(logs[:, 1:] - logs[:, :1] >= math.log(factor))))
    return int(median) if math.isfinite(median) else None
