"""The verdict on a difference: one word and one sentence."""

from dataclasses import dataclass

from sota_exp.statistics.stopping import MAX_FURTHER_SEEDS
from sota_exp.statistics.units import SHARE_FORMAT, MetricFormat, format_level

#: Why differences that are equal have no interval.
NO_INTERVAL = "no interval: it is the same at every seed, so the noise is unknown"

#: Why so few differences have no interval that holds whenever one looks.
TOO_FEW_FOR_INTERVAL = "no interval: so few seeds exclude no difference, however large"
NO_ANYTIME_INTERVAL = f"{TOO_FEW_FOR_INTERVAL}, or it is the same at every seed"


#: Words of effects that are shown: in new training runs on new images like the tested ones; on the tested ones alone.
SHOWN, SHOWN_HERE = ("helps", "hurts"), ("helps here", "hurts here")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    word: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class OnNewImages:
    """A difference in new training runs on new images like the tested ones.

    interval: for this difference alone. p_value, p_adjusted: None under looks at any time, whose interval holds at
    every look. is_shown: whether it is not zero, all verdicts together. detectable: the smallest difference that these
    runs and images show in four of five studies. lasting: the variance of the mean that further seeds do not remove.
    """

    interval: tuple[float, float] | None
    p_value: float | None
    p_adjusted: float | None
    is_shown: bool
    detectable: float | None
    lasting: float


#: What intervals and words of verdicts are about: of accuracies, and of other metrics.
MEANING_OF_VERDICTS = "Intervals are for new training runs on new images like these, and so are helps and hurts."
MEANING_OF_HERE = "helps here, hurts here: in new runs on these test images; others like these could show no effect."
MEANING_HERE = "Intervals and verdicts are for new training runs on these test images."


REFERENCE_VERDICT = Verdict(word="reference", sentence="What the others are compared with.")
CELL_VERDICT = Verdict(word="reference", sentence="A cell of the design: it counts through the effects.")


def judge_difference(
    difference: float,
    interval: tuple[float, float] | None,
    p_adjusted: float,
    detectable: float | None,
    num: int,
    level: float,
    higher_is_better: bool = True,
    unit: MetricFormat = SHARE_FORMAT,
    no_interval: str = NO_INTERVAL,
    whose: str = "",
    on_new: OnNewImages | None = None,
    fewest: int | None = None,
) -> Verdict:
    """The verdict by the adjusted p-value: significant on the tested images where it is at most 1 − level.

    detectable: the smallest effect these seeds can detect; None: too few seeds for any. num: number of seeds.
    interval: None where the difference is the same at every seed, or for another reason that `no_interval` gives;
    `detectable` is then worth nothing. whose: what effects `detectable` is about, such as " of one arm alone".
    on_new: on new images, where that is known. fewest: seeds that can show any effect.
    """
    mean = unit.format_difference_with_unit(difference)
    size = f"{mean}, {describe_interval(interval, level, unit, no_interval)}"
    if p_adjusted <= 1 - level and difference != 0:
        return describe_shown((difference > 0) == higher_is_better, mean, size, level, unit, on_new)
    if detectable is None:
        return Verdict(
            word="too few seeds",
            sentence=f"Too few seeds for a verdict: with {num}, no effect{whose}, however large, can be distinguished "
            f"from chance ({size}).{describe_fewest(fewest)}",
        )
    power = ""
    if on_new is not None and on_new.interval is not None:
        size = f"{mean}, {describe_interval(on_new.interval, level, unit)} in new runs on new images"
        if on_new.detectable is not None:
            smallest = unit.size(combine_detectable(detectable, on_new))
            power = f"; these runs and images would have shown {smallest} in four of five studies"
    elif interval:
        power = f"; {num} seeds would have shown {unit.size(detectable)} in four of five studies"
    return Verdict(
        word="cannot be distinguished", sentence=f"Cannot be distinguished from its reference: {size}{power}."
    )


def describe_fewest(fewest: int | None) -> str:
    """How many seeds are enough for any verdict, where that is known."""
    return f" At least {fewest} seeds are needed." if fewest else ""


def combine_detectable(over_seeds: float, on_new: OnNewImages | None) -> float:
    """The smallest difference that the seeds, and the images where their noise is known, show in four of five."""
    return over_seeds if on_new is None else max(over_seeds, on_new.detectable or 0.0)


def describe_shown(
    helps: bool, mean: str, size: str, level: float, unit: MetricFormat, on_new: OnNewImages | None
) -> Verdict:
    """The verdict on an effect that is shown on the tested images; mean: formatted, size: with its interval there."""
    word = SHOWN[0] if helps else SHOWN[1]
    beyond = "on other images like these it is not known"
    if on_new is not None and on_new.interval is not None:
        span = describe_interval(on_new.interval, level, unit)
        if on_new.is_shown:
            sentence = f"{word.capitalize()}: {mean}, {span} in new training runs on new images like these."
            return Verdict(word=word, sentence=sentence)
        alone = f"{span} in new runs on new images, for this difference alone"
        beyond = f"other images like these could show no effect ({alone})"
    return Verdict(word=f"{word} here", sentence=f"{word.capitalize()} on these test images: {size}; {beyond}.")


def describe_interval(
    interval: tuple[float, float] | None, level: float, unit: MetricFormat, no_interval: str = NO_INTERVAL
) -> str:
    """`95 % interval +0.12 to +0.70`, or why there is none."""
    return f"{format_level(level)} interval {unit.span(*interval)}" if interval else no_interval


def describe_further_seeds(further: int | None) -> str:
    """What would decide an open arm under looks at any time, by `estimate_further_seeds`."""
    if further is None:
        return f"If the effect is as small as it seems, {MAX_FURTHER_SEEDS} further seeds would hardly decide it."
    num = f"{further} further seeds" if further > 1 else "one further seed"
    return f"If effect and spread are as they seem, {num} would decide it half of the time."


def describe_error_rate(level: float) -> str:
    """What the tests of a study at this level promise; `ERROR_LIMITS` says where the promise ends."""
    return (
        f"If no technique changes anything, at most {100 * (1 - level):.3g} % of studies have even one wrong verdict, "
        "whatever their number of arms and interactions."
    )


ERROR_LIMITS = (
    "Arms with the same mean but another distribution are not covered: simulated at a level of 95 %, with 13 arms and "
    "ten seeds, 8 % of studies in which every second arm is skewed have a wrong verdict, 19 % if these scatter three "
    "times as much, 40 % if their tails are heavy too, and more than 5 % if runs of one collapse; more arms or seeds "
    "raise these shares. Nor are techniques that ruin a rare kind of image, of which few test images have one: at 3 % "
    "of the images, 17 % with four arms and 100 test images."
)


def describe_anytime_error_rate(level: float) -> str:
    """What looks at any time promise at this level; `ANYTIME_ERROR_LIMITS` says where the promise ends."""
    return (
        f"If no technique changes anything, at most {100 * (1 - level):.3g} % of studies ever have even one wrong "
        "verdict, whatever their number of arms, however many seeds are added and for whatever reason one stops."
    )


ANYTIME_ERROR_LIMITS = (
    "Arms with the same mean but another distribution are not covered: simulated at a level of 95 %, with 13 arms and "
    "up to 60 seeds, 4 % of studies in which every second arm is skewed have a wrong verdict, 14 % if these scatter "
    "three times as much, 39 % if their tails are heavy too, and most if runs of every second arm collapse; more arms "
    "or seeds raise these shares."
)


def verdict_for_failed_runs(reasons: list[str], num_pairs: int) -> Verdict:
    """An arm with fewer than two pairs because runs failed."""
    return Verdict(word="failed", sentence=f"Failed: {reasons[0]} ({num_pairs} pairs are left).")


def verdict_for_too_few_pairs(num: int, fewest: int | None = None) -> Verdict:
    """An arm with too few pairs for an interval. fewest: seeds that can show any effect."""
    sentence = f"Too few seeds for an interval: {num} pair{'s' if num != 1 else ''}.{describe_fewest(fewest)}"
    return Verdict(word="too few seeds", sentence=sentence)
