"""Statistics of the confirmation: the best trials against the recipe's own values on fresh seeds.

The best of many noisy values is too high by chance. So the best trials are trained again with seeds that the search
never used, and the winner is chosen by val. Val and test of a run vary together, so on these runs the winner's test
is too high as well (5.8 % instead of 2.5 % of sweeps without an effect had a winner). Therefore the winner is trained
with further seeds, and its test is compared with that of the recipe's own values, paired by seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import stdtr, stdtrit

from sota_exp.report.numbers import format_duration
from sota_exp.statistics.paired import Estimate, compute_mean_and_sd, paired_t_interval
from sota_exp.statistics.units import get_metric_format
from sota_exp.statistics.verdict import describe_interval
from sota_exp.statistics.what_next import advise, describe_advice

CONFIDENCE_LEVEL = 0.95

DEFAULT_ARM = "default"


@dataclass(frozen=True, kw_only=True)
class ConfirmedArm:
    """One configuration on the fresh seeds; number: of its trial. val, test: {seed: value of the metric}.

    seconds: mean of its runs. at_chance: whether all of them are at chance level.
    """

    name: str
    overrides: list[str]
    number: int | None
    val: dict[int, float]
    test: dict[int, float]
    failures: dict[int, str]
    seconds: float | None = None
    at_chance: bool = False


def compute_p_value(estimate: Estimate) -> float:
    """Two-sided p-value of the paired t-test."""
    standard_error = half_width(estimate) / float(stdtrit(estimate.n - 1, (1 + CONFIDENCE_LEVEL) / 2))
    return float(2 * stdtr(estimate.n - 1, -abs(estimate.mean) / standard_error))


def half_width(estimate: Estimate) -> float:
    """Half the width of the interval: a smaller mean difference would not be significant with these seeds."""
    return (estimate.high - estimate.low) / 2


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of `n` differences, at least two; its interval is None if all differences are equal."""

    mean: float
    estimate: Estimate | None
    n: int


def compare_paired(
    default: Mapping[int, float], other: Mapping[int, float], seeds: Sequence[int]
) -> PairedDifference | None:
    """other − default, paired by those of `seeds` that both have; None for fewer than two pairs."""
    common = [seed for seed in seeds if seed in default and seed in other]
    if len(common) < 2:
        return None
    differences = [other[seed] - default[seed] for seed in common]
    found = paired_t_interval([0.0] * len(common), differences, CONFIDENCE_LEVEL)
    return PairedDifference(mean=compute_mean_and_sd(differences)[0], estimate=found, n=len(common))


def choose_winner(arms: Sequence[ConfirmedArm], direction: str, choice_seeds: Sequence[int]) -> ConfirmedArm | None:
    """The trial with the best mean of val on the seeds of the choice; a single trial needs none.

    Trials that lack a seed are chosen only if all do; None if no trial has one.
    """
    others = [arm for arm in arms if arm.name != DEFAULT_ARM]
    if len(others) == 1:
        return others[0]
    sign = 1 if direction == "maximize" else -1
    found = [(arm, select_seeds(arm.val, choice_seeds)) for arm in others]
    complete = [each for each in found if len(each[1]) == len(choice_seeds)] or [each for each in found if each[1]]
    return max(complete, key=lambda each: sign * compute_mean_and_sd(each[1])[0], default=(None,))[0]


def select_seeds(values: Mapping[int, float], seeds: Sequence[int]) -> list[float]:
    return [values[seed] for seed in seeds if seed in values]


def summarize_confirmation(
    arms: Sequence[ConfirmedArm], metric: str, direction: str, seeds: Sequence[int], choice_seeds: Sequence[int]
) -> dict[str, Any]:
    """`confirm` of `sweep.json`: the winner by val on `choice_seeds`, and its difference on test, on `seeds`."""
    sign = 1 if direction == "maximize" else -1
    default = next(arm for arm in arms if arm.name == DEFAULT_ARM)
    winner = choose_winner(arms, direction, choice_seeds)
    on_test = compare_paired(default.test, winner.test, seeds) if winner is not None else None
    verdict = get_verdict(on_test, sign)
    return {
        "metric": metric,
        "seeds": list(seeds),
        "choice_seeds": list(choice_seeds),
        "arms": [arm_to_json(arm, default, seeds, choice_seeds) for arm in arms],
        "winner": winner.name if winner is not None else None,
        "overrides": winner.overrides if winner is not None else [],
        "test": None if on_test is None else difference_to_json(on_test),
        "verdict": verdict,
        "words": format_verdict(winner, on_test, metric, verdict),
        "next": list_next_steps(default, winner, metric, seeds, verdict),
    }


def list_next_steps(
    default: ConfirmedArm, winner: ConfirmedArm | None, metric: str, seeds: Sequence[int], verdict: str
) -> list[str]:
    """What would decide whether the winner differs from the recipe's own values, in sentences."""
    if winner is None:
        return []
    if default.at_chance and winner.at_chance:
        return [
            "Neither the recipe's own values nor the winner learned anything: both are at chance level. Train longer, "
            "on more images, or search other learning rates."
        ]
    if verdict in ("beats", "loses"):
        return ["Nothing is open: the winner differs from the recipe's own values beyond noise."]
    common = [seed for seed in seeds if seed in default.test and seed in winner.test]
    advice = advise([winner.test[seed] - default.test[seed] for seed in common], 1, CONFIDENCE_LEVEL)
    costs = [arm.seconds for arm in (default, winner) if arm.seconds is not None]
    words = describe_advice(
        advice,
        None,
        get_metric_format(metric),
        False,
        lambda num: f" ({format_duration(num * sum(costs))})" if costs else "",
    )
    how = (
        "If the effect is as it seems: seeds added because it is open make wrong verdicts more frequent, so compare "
        "the winner with the recipe on seeds of their own, with study.looks=anytime if you want to look in between."
    )
    return [f"{winner.name.replace('-', ' ').capitalize()}: {words}", *([how] if advice.num_seeds else [])]


def arm_to_json(
    arm: ConfirmedArm, default: ConfirmedArm, seeds: Sequence[int], choice_seeds: Sequence[int]
) -> dict[str, Any]:
    """The entry of an arm in `sweep.json`: its values, and its difference from the default on val.

    `mean` and `sd` are of val on the seeds of the comparison; of an arm that has none, on those of the choice.
    """
    difference = compare_paired(default.val, arm.val, seeds) if arm is not default else None
    values = select_seeds(arm.val, seeds) or select_seeds(arm.val, choice_seeds)
    mean, sd = compute_mean_and_sd(values) if values else (None, None)
    difference_json = None if difference is None else difference_to_json(difference)
    return {**asdict(arm), "mean": mean, "sd": sd, "difference": difference_json}


def difference_to_json(difference: PairedDifference) -> dict[str, Any]:
    found = difference.estimate
    return {
        "mean": difference.mean,
        "interval": [found.low, found.high] if found else None,
        "p_value": compute_p_value(found) if found else None,
        "n": difference.n,
    }


def get_verdict(on_test: PairedDifference | None, sign: int) -> str:
    """sign: 1 if higher is better, else −1."""
    if on_test is None:
        return "too few seeds"
    found = on_test.estimate
    if found is None or found.low <= 0 <= found.high:
        return "cannot be distinguished"
    return "beats" if sign * on_test.mean > 0 else "loses"


def format_verdict(winner: ConfirmedArm | None, on_test: PairedDifference | None, metric: str, verdict: str) -> str:
    """The verdict as a sentence."""
    if winner is None or on_test is None:
        return "No comparison: fewer than two fresh seeds are complete in both arms."
    unit, test = get_metric_format(metric), metric.replace("val/", "test/").replace("/", " ")
    found = on_test.estimate
    interval = describe_interval((found.low, found.high) if found else None, CONFIDENCE_LEVEL, unit)
    difference = (
        f"{unit.format_difference_with_unit(on_test.mean)} of {test} ({interval}; {on_test.n} paired fresh seeds)"
    )
    name, default = f"Trial {winner.number}", "the recipe's own values"
    advice = "Use more seeds or more test images."
    if found:
        smallest = unit.size(half_width(found))
        advice = f"With {on_test.n} seeds and this noise, differences above {smallest} are detectable."
    return {
        "beats": f"{name} beats {default}: {difference}.",
        "loses": f"{name} loses to {default}: {difference}. Keep the recipe.",
        "cannot be distinguished": f"{name} cannot be distinguished from {default}: {difference}. {advice}",
    }[verdict]
