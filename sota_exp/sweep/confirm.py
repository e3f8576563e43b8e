"""Does the winner win? The best trials and the recipe's own values on fresh seeds: the numbers, from plain values alone.

The best of thirty noisy numbers is too good by its luck. So the best trials are trained again with seeds that the search
never used, the winner among them is chosen by val, and test, which nobody has looked at, says once how it does against the
recipe's own values on the same seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import stdtr, stdtrit

from sota_exp.statistics.paired import Estimate, mean_and_sd, paired_difference

LEVEL = 0.95

DEFAULT_ARM = "default"

#: The seeds of a confirmation begin this far above those of the search.
SEED_DISTANCE = 1000


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One configuration on the fresh seeds: what val and test said, by seed; `number` is that of its trial."""

    name: str
    overrides: list[str]
    number: int | None
    val: dict[int, float]
    test: dict[int, float]
    failures: dict[int, str]


def fresh_seeds(first: int, num: int) -> list[int]:
    """Seeds that no trial of the search had."""
    return [first + SEED_DISTANCE + index for index in range(num)]


def p_value(estimate: Estimate, level: float = LEVEL) -> float | None:
    """Two-sided, of Student's test that the mean of the differences is 0; None where they are all the same."""
    reach = (estimate.high - estimate.low) / 2
    if reach == 0:
        return None
    error = reach / float(stdtrit(estimate.n - 1, (1 + level) / 2))
    return float(2 * stdtr(estimate.n - 1, -abs(estimate.mean) / error))


def detectable(estimate: Estimate) -> float:
    """The smallest difference that this many seeds of this noise show at all: the half of the interval."""
    return (estimate.high - estimate.low) / 2


def compared(default: Mapping[int, float], other: Mapping[int, float]) -> Estimate | None:
    """other − default, paired by seed; None for fewer than two pairs."""
    seeds = sorted(set(default) & set(other))
    if len(seeds) < 2:
        return None
    return paired_difference([default[seed] for seed in seeds], [other[seed] for seed in seeds], LEVEL)


def conclude(arms: Sequence[Arm], metric: str, direction: str, seeds: Sequence[int]) -> dict[str, Any]:
    """`confirm` of `sweep.json`: each arm against the default on val, the winner by val, and its word on test."""
    sign = 1 if direction == "maximize" else -1
    default = next(arm for arm in arms if arm.name == DEFAULT_ARM)
    others = [arm for arm in arms if arm is not default]
    whole = [arm for arm in others if set(arm.val) == set(seeds)] or [arm for arm in others if arm.val]
    winner = max(whole, key=lambda arm: sign * mean_and_sd(list(arm.val.values()))[0], default=None)
    on_test = compared(default.test, winner.test) if winner is not None else None
    return {
        "metric": metric,
        "test_metric": metric.replace("val/", "test/"),
        "direction": direction,
        "seeds": list(seeds),
        "arms": [described(arm, default) for arm in arms],
        "winner": winner.name if winner is not None else None,
        "overrides": winner.overrides if winner is not None else [],
        "test": None if on_test is None else numbers(on_test),
        "verdict": verdict(on_test, sign),
        "words": words(winner, on_test, metric, sign),
    }


def described(arm: Arm, default: Arm) -> dict[str, Any]:
    """An arm's values, and how far it is from the default on val."""
    difference = compared(default.val, arm.val) if arm is not default else None
    mean, sd = mean_and_sd(list(arm.val.values())) if arm.val else (None, None)
    plain = {str(key): value for key, value in asdict(arm).items()}
    for name in ("val", "test", "failures"):
        plain[name] = {str(seed): value for seed, value in plain[name].items()}
    return {**plain, "mean": mean, "sd": sd, "difference": None if difference is None else numbers(difference)}


def numbers(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": estimate.mean,
        "interval": [estimate.low, estimate.high],
        "level": LEVEL,
        "p_value": p_value(estimate),
        "detectable": detectable(estimate),
        "n": estimate.n,
    }


def verdict(on_test: Estimate | None, sign: int) -> str:
    """beats, loses, cannot be distinguished; too few seeds where nothing was compared. sign: 1 where up is better, else −1."""
    if on_test is None:
        return "too few seeds"
    if has_no_spread(on_test) or on_test.low <= 0 <= on_test.high:
        return "cannot be distinguished"
    return "beats" if sign * on_test.mean > 0 else "loses"


def has_no_spread(estimate: Estimate) -> bool:
    """Whether all differences are the same, which says nothing of their noise."""
    return math.isclose(estimate.low, estimate.high, abs_tol=1e-12)


def words(winner: Arm | None, on_test: Estimate | None, metric: str, sign: int) -> str:
    """The verdict as a sentence, accuracies in points."""
    if winner is None or on_test is None:
        return "Nothing can be said: fewer than two seeds ended well on both sides."
    scale, unit = (100, " points") if metric == "val/accuracy" else (1, "")
    test = metric.replace("val/", "test/").replace("/", " ")
    span = f"{scale * on_test.low:+.2f} to {scale * on_test.high:+.2f}"
    found = f"{scale * on_test.mean:+.2f}{unit} of {test} ({LEVEL:.0%} interval {span}; {on_test.n} paired fresh seeds)"
    name = f"Trial {winner.number}"
    least = f"{on_test.n} seeds of this noise show differences above {scale * detectable(on_test):.2f}{unit}."
    if has_no_spread(on_test):
        least = "All differences are the same, which says nothing of the noise: more seeds, or more test images."
    return {
        "beats": f"{name} beats the recipe's own values: {found}.",
        "loses": f"{name} loses to the recipe's own values: {found}. Keep the recipe.",
        "cannot be distinguished": f"{name} cannot be distinguished from the recipe's own values: {found}. {least}",
    }[verdict(on_test, sign)]
