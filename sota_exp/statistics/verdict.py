"""The verdict on a difference: one word and one sentence."""

from dataclasses import dataclass

from sota_exp.statistics.units import SHARE_FORMAT, MetricFormat, format_level

#: Why differences that are equal have no interval.
NO_INTERVAL = "no interval: it is the same at every seed, so the noise is unknown"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    word: str
    sentence: str


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
) -> Verdict:
    """The verdict by the adjusted p-value: significant where it is at most 1 − level.

    detectable: the smallest effect these seeds can detect; None: too few seeds for any. num: number of seeds.
    interval: None where the difference is the same at every seed; `detectable` is then worth nothing.
    """
    size = f"{unit.format_difference_with_unit(difference)}, {describe_interval(interval, level, unit)}"
    if p_adjusted <= 1 - level and difference != 0:
        helps = (difference > 0) == higher_is_better
        return Verdict(word="helps" if helps else "hurts", sentence=f"{'Helps' if helps else 'Hurts'}: {size}.")
    if detectable is None:
        return Verdict(
            word="too few seeds",
            sentence=f"Too few seeds for a verdict: with {num}, no effect, however large, can be distinguished from "
            f"chance ({size}).",
        )
    power = f"; {num} seeds would have shown {unit.size(detectable)} in four of five studies" if interval else ""
    return Verdict(
        word="cannot be distinguished", sentence=f"Cannot be distinguished from its reference: {size}{power}."
    )


def describe_interval(interval: tuple[float, float] | None, level: float, unit: MetricFormat) -> str:
    """`95 % interval +0.12 to +0.70`, or why there is none."""
    return f"{format_level(level)} interval {unit.span(*interval)}" if interval else NO_INTERVAL


def describe_error_rate(level: float) -> str:
    """What the tests of a study at this level promise, and where the promise ends."""
    error = f"{100 * (1 - level):.3g} %"
    return (
        f"If no technique changes anything, at most {error} of studies have even one wrong verdict, whatever their "
        "number of arms and interactions. Arms with the same mean but another distribution are not covered: simulated "
        "at a level of 95 %, with 13 arms and ten seeds, 8 % of studies in which every second arm is skewed have a "
        "wrong verdict, 19 % if these scatter three times as much, 40 % if their tails are heavy too, and more than 5 "
        "% if runs of one collapse; more arms or seeds raise these shares."
    )


def verdict_for_failed_runs(reasons: list[str], num_pairs: int) -> Verdict:
    """An arm with fewer than two pairs because runs failed."""
    return Verdict(word="failed", sentence=f"Failed: {reasons[0]} ({num_pairs} pairs are left).")


def verdict_for_too_few_pairs(num: int) -> Verdict:
    """An arm with too few pairs for an interval."""
    return Verdict(
        word="too few seeds", sentence=f"Too few seeds for an interval: {num} pair{'s' if num != 1 else ''}."
    )
