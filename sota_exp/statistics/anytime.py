"""Verdicts that stay right under any stopping: evidence from the signs of paired differences, seed by seed.

Under the null hypothesis a difference is symmetric about zero, so that its sign, given its size, is a fair coin. The
evidence of an arm is the capital of a gambler who starts with 1 and bets on each sign, by the sizes so far and the
signs before: 2 P(sign₁ | size₁) · 2 P(sign₂ | …) ⋯ is a nonnegative martingale, an e-process. Without an effect it ever
reaches 1 / α with a probability of at most α, whenever and why ever one stops (Ville 1939); no noise need be normal. P
is the prediction of normal differences with unknown scale σ and a mean drawn from N(0, `PRIOR_VARIANCE` σ²):
P(±) ∝ (Q − S±² / (n + 1 / `PRIOR_VARIANCE`))^(−n/2), with Q the sum of squares and S± the sum with either sign. A
difference of zero has no sign and changes nothing.

Over several arms the mean evidence of a set of arms is evidence against "no arm of the set has an effect". An arm is
decided as soon as every set with it has a mean of at least 1 / α (a closed test). So the probability of even one wrong
verdict is at most α, also where arms stop one by one. It decides more than Bonferroni's or Holm's rule for evidence.
Source: Ramdas, Grünwald, Vovk and Shafer 2023, Stat. Sci. 38; Vovk and Wang 2021, Ann. Stat. 49 (means, closed tests);
Lai 1976, Ann. Stat. 4, and Waudby-Smith and Ramdas 2024, JRSS B 86 (confidence sequences).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sota_exp.statistics.groups import NO_SPREAD
from sota_exp.statistics.interim import InterimResult
from sota_exp.statistics.paired import Estimate, has_spread

#: Variance of the mean that the bets expect, in variances of a difference. 1 to 4 differ by at most half a seed for
#: effects of one to three standard deviations; with 1, six equal signs would not decide an arm.
PRIOR_VARIANCE = 2.0

#: The logarithm of evidence is cut at ± this before it is added, so that no float overflows or is zero.
MAX_LOG_EVIDENCE = 600.0

#: Steps of halving until an end of a confidence sequence is as exact as a float.
NUM_HALVINGS = 50


def compute_log_evidence(differences: ArrayLike) -> NDArray[np.float64]:
    """The natural logarithm of an arm's evidence after each seed.

    differences: float [..., seeds] in the order of the seeds, NaN where one is missing, which changes nothing. Returns
    [..., seeds]. With n differences the evidence is at most 2^(n − 1): the first sign has nothing to bet on.
    """
    given = np.asarray(differences, np.float64)
    is_present = np.isfinite(given)
    values = np.where(is_present & (np.abs(given) > NO_SPREAD), given, 0.0)
    num = is_present.cumsum(-1)
    squares, sums = (values**2).cumsum(-1), values.cumsum(-1)
    weight = num + 1 / PRIOR_VARIANCE
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (squares - sums**2 / weight) / (squares - (sums - 2 * values) ** 2 / weight)
        odds_against = np.where(values == 0, 0.0, num / 2 * np.log(ratio))
    found: NDArray[np.float64] = (math.log(2) - np.logaddexp(0.0, odds_against)).cumsum(-1)
    return found


def combine_log_evidence(log_evidence: ArrayLike) -> NDArray[np.float64]:
    """Per arm, the logarithm of the least mean evidence of all sets of arms with it: [..., arms] → [..., arms].

    The least mean of a set is that of the arm and the arms with the smallest evidence.
    """
    found = np.clip(np.asarray(log_evidence, np.float64), -MAX_LOG_EVIDENCE, MAX_LOG_EVIDENCE)
    order = found.argsort(-1)
    ordered = np.exp(np.take_along_axis(found, order, -1))
    least, total = ordered.copy(), np.zeros(ordered.shape[:-1])
    for num in range(ordered.shape[-1] - 1):
        total = total + ordered[..., num]
        mean = (ordered[..., num + 1 :] + total[..., None]) / (num + 2)
        least[..., num + 1 :] = np.minimum(least[..., num + 1 :], mean)
    combined: NDArray[np.float64] = np.empty_like(found)
    np.put_along_axis(combined, order, np.log(least), -1)
    return combined


def run_anytime_test(
    differences: Mapping[str, Mapping[int, float]],
    settled: Mapping[str, frozenset[int]],
    seeds: Sequence[int],
    level: float = 0.95,
    may_leave: Callable[[str, int], bool] = lambda name, num_seeds: True,
) -> InterimResult:
    """Test the undecided arms after every seed in order, up to the first seed with a missing run.

    The arguments are those of `run_interim_analyses`. may_leave: whether an arm with enough evidence needs no further
    seeds for another question; it is decided as soon as both are answered. The evidence of a decided arm stays as it
    was at its decision. A p-value is 1 / the largest evidence so far.
    """
    names = list(differences)
    table = np.array([[differences[name].get(seed, np.nan) for seed in seeds] for name in names])
    logs = compute_log_evidence(table.reshape(len(names), len(seeds)))
    found = InterimResult()
    current, largest, own = (np.zeros(len(names)) for _ in range(3))
    for index, seed in enumerate(seeds):
        open_arms = [row for row, name in enumerate(names) if name not in found.decided]
        if not open_arms or not all(seed in settled[names[row]] for row in open_arms):
            break
        found.done.append(index + 1)
        current[open_arms] = logs[open_arms, index]
        combined = combine_log_evidence(current)
        own, largest = np.maximum(own, current), np.maximum(largest, combined)
        for row in open_arms:
            name = names[row]
            found.evidence.setdefault(name, []).append(math.exp(combined[row]))
            if np.isfinite(table[row, : index + 1]).sum() < 2:
                continue
            found.p_values[name], found.p_adjusted[name] = math.exp(-own[row]), math.exp(-largest[row])
            found.seeds[name] = index + 1
            if found.p_adjusted[name] <= 1 - level and may_leave(name, index + 1):
                found.decided[name] = index + 1
    return found


def compute_confidence_sequence(
    differences: ArrayLike, level: float = 0.95, largest: float = math.inf
) -> Estimate | None:
    """The interval of the mean that holds after every seed at once: all shifts that no number of seeds has refused.

    differences: float [n], n ≥ 1, in the order of the seeds. A shift is refused if the evidence against differences
    less the shift ever reached 1 / (1 − level). Where refused shifts lie between others, the whole range is given, and
    where every shift was refused, those that all seeds together do not refuse. Cut at ± `largest`. None where all
    differences are equal (see `has_spread`), or so few that even an infinite shift cannot be refused: fewer than six at
    a level of 95 %.
    """
    values = np.asarray(differences, np.float64)
    threshold = -math.log(1 - level)
    if not has_spread(values) or compute_log_evidence(np.ones(len(values)))[-1] < threshold:
        return None
    gaps = np.diff(np.sort(values))
    reach = gaps[gaps > NO_SPREAD].min() / 2 if gaps.min() <= NO_SPREAD else 0.0

    def is_kept(shifts: NDArray[np.float64], only_last: bool = False) -> NDArray[np.bool_]:
        shifted = values - shifts[:, None]
        logs = compute_log_evidence(np.where(np.abs(shifted) <= reach, 0.0, shifted))
        kept: NDArray[np.bool_] = (logs[:, -1] if only_last else logs.max(-1)) < threshold
        return kept

    mean = float(values.mean())
    steps = np.geomspace(1e-3, 1e4, 400) * np.ptp(values)
    # Those to zero and to the differences themselves too, where a difference has no sign.
    shifts = np.unique(np.concatenate([mean - steps, [mean, 0.0], values, mean + steps]))
    kept = is_kept(shifts)
    is_empty = not kept.any()
    inside = np.flatnonzero(is_kept(shifts, True) if is_empty else kept)
    low_out, low_in = shifts[max(inside[0] - 1, 0)], shifts[inside[0]]
    high_in, high_out = shifts[inside[-1]], shifts[min(inside[-1] + 1, len(shifts) - 1)]
    for _ in range(NUM_HALVINGS):
        middle = np.array([low_out + low_in, high_out + high_in]) / 2
        low_kept, high_kept = is_kept(middle, is_empty)
        low_out, low_in = (low_out, middle[0]) if low_kept else (middle[0], low_in)
        high_out, high_in = (high_out, middle[1]) if high_kept else (middle[1], high_in)
    return Estimate(mean=mean, low=max(-largest, float(low_out)), high=min(largest, float(high_out)), n=len(values))
