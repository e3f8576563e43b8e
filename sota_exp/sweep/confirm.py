"""Statistics of the confirmation: the best trials against the recipe's own values on fresh seeds.

The best of many noisy values is too high by chance. So the best trials are trained again with seeds that the search
never used, and the winner is chosen by val. Val and test of a run vary together, so on these runs the winner's test
is too high as well (5.8 % instead of 2.5 % of sweeps without an effect had a winner). Therefore the winner is trained
with further seeds, and its test is compared with that of the recipe's own values, paired by seed. It beats them if new
training runs on new images like these show it, and beats them here if it is known of these test images alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import stdtr, stdtrit

from sota_exp.report.numbers import format_duration
from sota_exp.statistics.paired import Estimate, compute_mean_and_sd, paired_t_interval
from sota_exp.statistics.two_sources import MeanOfTwoSources
from sota_exp.statistics.units import get_metric_format
from sota_exp.statistics.verdict import describe_interval
from sota_exp.statistics.what_next import Advice, advise, describe_advice

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


@dataclass(frozen=True, kw_only=True)
class PairedImages:
    """The winner against the recipe's own values by the correctness of each test image.

    on_new: the difference of accuracy in new training runs on new images; None where its noise is unknown. advice:
    what would decide it. num_images: those of a run.
    """

    on_new: MeanOfTwoSources | None
    advice: Advice
    num_images: int | None

    @property
    def interval(self) -> tuple[float, float] | None:
        found = None if self.on_new is None else self.on_new.find_interval(CONFIDENCE_LEVEL, largest=1.0)
        return None if found is None else (found.low, found.high)

    @property
    def is_shown(self) -> bool:
        """Whether the difference is not zero in new training runs on new images."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


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
    arms: Sequence[ConfirmedArm],
    metric: str,
    direction: str,
    seeds: Sequence[int],
    choice_seeds: Sequence[int],
    paired: PairedImages | None = None,
) -> dict[str, Any]:
    """`confirm` of `sweep.json`: the winner by val on `choice_seeds`, and its difference on test, on `seeds`.

    paired: of this winner; None: the metric is no accuracy, or the runs are not known by image.
    """
    sign = 1 if direction == "maximize" else -1
    default = next(arm for arm in arms if arm.name == DEFAULT_ARM)
    winner = choose_winner(arms, direction, choice_seeds)
    on_test = compare_paired(default.test, winner.test, seeds) if winner is not None else None
    verdict = get_verdict(on_test, paired, sign)
    return {
        "metric": metric,
        "seeds": list(seeds),
        "choice_seeds": list(choice_seeds),
        "arms": [arm_to_json(arm, default, seeds, choice_seeds) for arm in arms],
        "winner": winner.name if winner is not None else None,
        "overrides": winner.overrides if winner is not None else [],
        "test": None if on_test is None else difference_to_json(on_test) | new_images_to_json(paired),
        "verdict": verdict,
        "words": format_verdict(winner, on_test, paired, metric, verdict),
        "next": list_next_steps(default, winner, paired, metric, seeds, verdict),
    }


def list_next_steps(
    default: ConfirmedArm,
    winner: ConfirmedArm | None,
    paired: PairedImages | None,
    metric: str,
    seeds: Sequence[int],
    verdict: str,
) -> list[str]:
    """What would decide whether the winner differs from the recipe's own values, in sentences."""
    if winner is None:
        return []
    if default.at_chance and winner.at_chance:
        return [
            "Neither the recipe's own values nor the winner learned anything: both are at chance level. Train longer, "
            "on more images, or search other learning rates."
        ]
    if verdict in ("beats", "loses") or (paired is None and verdict.endswith(" here")):
        return ["Nothing is open: the winner differs from the recipe's own values beyond noise."]
    common = [seed for seed in seeds if seed in default.test and seed in winner.test]
    differences = [winner.test[seed] - default.test[seed] for seed in common]
    advice = advise(differences, 1, CONFIDENCE_LEVEL) if paired is None else paired.advice
    costs = [arm.seconds for arm in (default, winner) if arm.seconds is not None]
    words = describe_advice(
        advice,
        None if paired is None else paired.num_images,
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


def new_images_to_json(paired: PairedImages | None) -> dict[str, Any]:
    """The entry `new_images` of a difference on test: in new training runs on new images."""
    if paired is None or paired.on_new is None:
        return {"new_images": None}
    return {"new_images": {"interval": paired.interval and list(paired.interval), "p_value": paired.on_new.p_value}}


def get_verdict(on_test: PairedDifference | None, paired: PairedImages | None, sign: int) -> str:
    """The word; with ` here` where it is about these test images alone. sign: 1 if higher is better, else −1."""
    if on_test is None:
        return "too few seeds"
    found = on_test.estimate
    if found is None or found.low <= 0 <= found.high:
        return "cannot be distinguished"
    word = "beats" if sign * on_test.mean > 0 else "loses"
    return word if paired is not None and paired.is_shown else f"{word} here"


def format_verdict(
    winner: ConfirmedArm | None,
    on_test: PairedDifference | None,
    paired: PairedImages | None,
    metric: str,
    verdict: str,
) -> str:
    """The verdict as a sentence."""
    if winner is None or on_test is None:
        return "No comparison: fewer than two fresh seeds are complete in both arms."
    unit, test = get_metric_format(metric), metric.replace("val/", "test/").replace("/", " ")
    found = on_test.estimate
    here = (found.low, found.high) if found else None
    beyond = paired.interval if paired is not None else None
    is_beyond = beyond is not None and not verdict.endswith(" here")
    interval = describe_interval(beyond if is_beyond else here, CONFIDENCE_LEVEL, unit)
    whose = " in new training runs on new images like these" if is_beyond else ""
    size = f"{unit.format_difference_with_unit(on_test.mean)} of {test}"
    difference = f"{size} ({interval}{whose}; {on_test.n} paired fresh seeds)"
    name, default = f"Trial {winner.number}", "the recipe's own values"
    if verdict == "cannot be distinguished":
        ends = beyond or here
        advice = "Use more seeds or more test images."
        if ends:
            smallest = unit.size((ends[1] - ends[0]) / 2)
            advice = f"With {on_test.n} seeds and this noise, differences above {smallest} are detectable."
        return f"{name} cannot be distinguished from {default}: {difference}. {advice}"
    better, on_these = verdict.startswith("beats"), " on these test images" if verdict.endswith(" here") else ""
    words = [f"{name} {'beats' if better else 'loses to'} {default}{on_these}: {difference}."]
    if on_these:
        alone = f" ({describe_interval(beyond, CONFIDENCE_LEVEL, unit)})" if beyond else ""
        words.append(f"Other images like these could show no difference{alone}.")
    return " ".join([*words, *([] if better else ["Keep the recipe."])])
