"""Verdicts: the word of every case, and sentences with sizes in points."""

import pytest

from sota_exp.statistics.units import format_signed, get_metric_format
from sota_exp.statistics.verdict import (
    OnNewImages,
    judge_difference,
    verdict_for_failed_runs,
    verdict_for_too_few_pairs,
)


@pytest.mark.parametrize(
    ("difference", "p_adjusted", "detectable", "better", "word"),
    [
        (0.012, 0.04, 0.01, True, "helps here"),
        (-0.012, 0.05, 0.01, True, "hurts here"),
        (-0.012, 0.04, 0.01, False, "helps here"),
        (0.012, 0.051, 0.01, True, "cannot be distinguished"),
        (0.0, 0.01, 0.01, True, "cannot be distinguished"),
        (0.5, 0.06, None, True, "too few seeds"),
        (0.5, 0.03, None, True, "helps here"),
    ],
)
def test_the_word(difference: float, p_adjusted: float, detectable: float | None, better: bool, word: str) -> None:
    found = judge_difference(
        difference, (difference - 0.01, difference + 0.01), p_adjusted, detectable, 8, 0.95, better
    )
    assert found.word == word and f"{format_signed(100 * difference, 2)} points" in found.sentence


@pytest.mark.parametrize(
    ("is_shown", "p_adjusted", "word", "words"),
    [
        (True, 0.01, "helps", "+1.20 points, 95 % interval +0.10 to +2.30 in new training runs on new images"),
        (False, 0.01, "helps here", "could show no effect (95 % interval +0.10 to +2.30 in new runs on new images, "),
        (True, 0.2, "cannot be distinguished", "these runs and images would have shown 3.00 points"),
    ],
)
def test_an_effect_holds_for_other_images_only_if_it_exceeds_their_noise(is_shown, p_adjusted, word, words) -> None:
    beyond = OnNewImages(
        interval=(0.001, 0.023), p_value=0.04, p_adjusted=0.04, is_shown=is_shown, detectable=0.03, lasting=0.0
    )
    found = judge_difference(0.012, (0.01, 0.014), p_adjusted, 0.01, 8, 0.95, on_new=beyond)
    assert found.word == word and words in found.sentence


def test_too_few_seeds_say_how_many_are_enough() -> None:
    found = judge_difference(0.5, (0.4, 0.6), 0.06, None, 5, 0.95, fewest=6)
    assert found.word == "too few seeds" and found.sentence.endswith(" At least 6 seeds are needed.")
    assert verdict_for_too_few_pairs(1, 6).sentence.endswith("1 pair. At least 6 seeds are needed.")


def test_the_detectable_effect_is_named_where_nothing_was_found() -> None:
    found = judge_difference(0.001, (-0.01, 0.012), 0.9, 0.0143, 8, 0.95)
    assert "8 seeds would have shown 1.43 points" in found.sentence


def test_the_reason_why_there_is_no_interval_is_named() -> None:
    assert verdict_for_failed_runs(["out of memory"], 1).sentence == "Failed: out of memory (1 pairs are left)."
    assert verdict_for_too_few_pairs(1).sentence.endswith("1 pair.") and verdict_for_too_few_pairs(0).sentence.endswith(
        "0 pairs."
    )


@pytest.mark.parametrize(("p_adjusted", "word"), [(0.01, "helps here"), (0.9, "cannot be distinguished")])
def test_equal_differences_have_neither_an_interval_nor_a_detectable_effect(p_adjusted: float, word: str) -> None:
    found = judge_difference(0.05, None, p_adjusted, 0.0, 8, 0.95)
    reason = "+5.00 points, no interval: it is the same at every seed, so the noise is unknown."
    beyond = reason.replace("unknown.", "unknown; on other images like these it is not known.")
    assert found.word == word and found.sentence.endswith((reason, beyond))


def test_a_loss_has_no_unit_and_is_better_when_lower() -> None:
    found = judge_difference(-0.0123, (-0.02, -0.0046), 0.01, 0.006, 8, 0.95, False, get_metric_format("test/loss"))
    assert found.sentence == (
        "Helps on these test images: −0.0123, 95 % interval −0.0200 to −0.0046; on other images like these it is not "
        "known."
    )
    assert (
        get_metric_format("test/accuracy").size(0.0123) == "1.23 points"
        and get_metric_format("val/loss").size(0.5) == "0.5000"
    )
