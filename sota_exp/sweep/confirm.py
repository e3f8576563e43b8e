"""Statistics of the confirmation: the best trials against the recipe's own values on fresh seeds.

The best of many noisy values is too high by chance. So the best trials are trained again with seeds that the search
never used. The winner is chosen by val; test is used once, to compare the winner with the recipe's own values, paired
by seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import stdtr, stdtrit

from sota_exp.statistics.paired import Estimate, compute_mean_and_sd, paired_t_interval
from sota_exp.statistics.units import get_metric_format

CONFIDENCE_LEVEL = 0.95

DEFAULT_ARM = "default"


@dataclass(frozen=True, kw_only=True)
class ConfirmedArm:
    """One configuration on the fresh seeds; number: of its trial. val, test: {seed: value of the metric}."""

    name: str
    overrides: list[str]
    number: int | None
    val: dict[int, float]
    test: dict[int, float]
    failures: dict[int, str]


def compute_p_value(estimate: Estimate) -> float | None:
    """Two-sided p-value of the paired t-test; None if all differences are equal."""
    if has_no_spread(estimate):
        return None
    standard_error = half_width(estimate) / float(stdtrit(estimate.n - 1, (1 + CONFIDENCE_LEVEL) / 2))
    return float(2 * stdtr(estimate.n - 1, -abs(estimate.mean) / standard_error))


def half_width(estimate: Estimate) -> float:
    """Half the width of the interval: a smaller mean difference would not be significant with these seeds."""
    return (estimate.high - estimate.low) / 2


def compare_paired(default: Mapping[int, float], other: Mapping[int, float]) -> Estimate | None:
    """other − default, paired by seed; None for fewer than two pairs."""
    seeds = sorted(set(default) & set(other))
    if len(seeds) < 2:
        return None
    return paired_t_interval([default[seed] for seed in seeds], [other[seed] for seed in seeds], CONFIDENCE_LEVEL)


def summarize_confirmation(
    arms: Sequence[ConfirmedArm], metric: str, direction: str, seeds: Sequence[int]
) -> dict[str, Any]:
    """`confirm` of `sweep.json`: each arm against the default on val, the winner by val, and its difference on test."""
    sign = 1 if direction == "maximize" else -1
    default = next(arm for arm in arms if arm.name == DEFAULT_ARM)
    others = [arm for arm in arms if arm is not default]
    complete = [arm for arm in others if set(arm.val) == set(seeds)] or [arm for arm in others if arm.val]
    winner = max(complete, key=lambda arm: sign * compute_mean_and_sd(list(arm.val.values()))[0], default=None)
    on_test = compare_paired(default.test, winner.test) if winner is not None else None
    verdict = get_verdict(on_test, sign)
    return {
        "metric": metric,
        "seeds": list(seeds),
        "arms": [arm_to_json(arm, default) for arm in arms],
        "winner": winner.name if winner is not None else None,
        "overrides": winner.overrides if winner is not None else [],
        "test": None if on_test is None else estimate_to_json(on_test),
        "verdict": verdict,
        "words": format_verdict(winner, on_test, metric, verdict),
    }


def arm_to_json(arm: ConfirmedArm, default: ConfirmedArm) -> dict[str, Any]:
    """The entry of an arm in `sweep.json`: its values, and its difference from the default on val."""
    difference = compare_paired(default.val, arm.val) if arm is not default else None
    mean, sd = compute_mean_and_sd(list(arm.val.values())) if arm.val else (None, None)
    difference_json = None if difference is None else estimate_to_json(difference)
    return {**asdict(arm), "mean": mean, "sd": sd, "difference": difference_json}


def estimate_to_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": estimate.mean,
        "interval": [estimate.low, estimate.high],
        "p_value": compute_p_value(estimate),
        "n": estimate.n,
    }


def get_verdict(on_test: Estimate | None, sign: int) -> str:
    """sign: 1 if higher is better, else −1."""
    if on_test is None:
        return "too few seeds"
    if has_no_spread(on_test) or on_test.low <= 0 <= on_test.high:
        return "cannot be distinguished"
    return "beats" if sign * on_test.mean > 0 else "loses"


def has_no_spread(estimate: Estimate) -> bool:
    """Whether all differences are equal, so that their noise is unknown."""
    return math.isclose(estimate.low, estimate.high, abs_tol=1e-12)


def format_verdict(winner: ConfirmedArm | None, on_test: Estimate | None, metric: str, verdict: str) -> str:
    """The verdict as a sentence."""
    if winner is None or on_test is None:
        return "No comparison: fewer than two fresh seeds are complete in both arms."
    unit, test = get_metric_format(metric), metric.replace("val/", "test/").replace("/", " ")
    interval = f"{CONFIDENCE_LEVEL:.0%} interval {unit.span(on_test.low, on_test.high)}"
    difference = (
        f"{unit.format_difference_with_unit(on_test.mean)} of {test} ({interval}; {on_test.n} paired fresh seeds)"
    )
    name, default = f"Trial {winner.number}", "the recipe's own values"
    smallest = unit.size(half_width(on_test))
    advice = f"With {on_test.n} seeds and this noise, differences above {smallest} are detectable."
    if has_no_spread(on_test):
        advice = "All differences are equal, so the noise is unknown: use more seeds or more test images."
    return {
        "beats": f"{name} beats {default}: {difference}.",
        "loses": f"{name} loses to {default}: {difference}. Keep the recipe.",
        "cannot be distinguished": f"{name} cannot be distinguished from {default}: {difference}. {advice}",
    }[verdict]
