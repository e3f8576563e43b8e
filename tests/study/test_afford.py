"""What a time buys: seeds that fit, the option that is recommended, and what is said where nothing fits."""

import itertools
from typing import Any

import pytest

from sota_exp.preview.timing import CostEstimate
from sota_exp.statistics.planned_effect import ASSUMED_NOISE
from sota_exp.statistics.power import assume_difference_sd
from sota_exp.study.afford import (
    MOST_SEEDS,
    Costs,
    Option,
    Variant,
    build_option,
    recommend,
)
from sota_exp.study.cost_estimate import RunCost
from sota_exp.study.results import PlannedStudy
from sota_exp.study.settings import Allowance, parse_time
from sota_exp.study.study_json_power import StudyNoise
from tests.rows import each_row
from tests.study.studies import arm, study

COUNTS = {"train": 192, "val": 24, "test": 24}
OF_FOLDS = {"train": 173, "val": 19, "test": 48}

COSTS = Costs(
    runs=[
        RunCost(seconds=CostEstimate(train=8.0, validate=1.0, evaluate=0.5), images=1920, counts=COUNTS, trains=trains)
        for trains in (True, True, False)
    ]
)


def variant(epochs: int = 8, folds: int = 1) -> Variant:
    counts = COUNTS if folds == 1 else OF_FOLDS
    return Variant(overrides=(f"scale.epochs={epochs}",), epochs=epochs, share=epochs / 8, counts=counts, folds=folds)


def noise(num_test: int = 24) -> StudyNoise:
    sd = assume_difference_sd(num_test)
    return StudyNoise(sd=sd, source="", num_test=num_test, num_all=8 * num_test, noise=ASSUMED_NOISE, is_assumed=True)


def made(**changes: Any) -> PlannedStudy:
    arms = [arm("full"), arm("without_ema", "full"), arm("without_mixup", "full")]
    return study(arms, **{"kind": "leave_one_out", "techniques": {"ema": {}, "mixup": {}}} | changes)


def option(amount: float, unit: str = "seconds", of: Variant | None = None, **changes: Any) -> Option | None:
    allowance = Allowance(amount=amount, unit=unit)
    return build_option(made(**changes), of or variant(), COSTS, allowance, noise(), is_own=True)


@pytest.mark.parametrize(
    ("value", "amount", "unit"),
    [
        ("2h", 7200, "seconds"),
        ("90m", 5400, "seconds"),
        ("90 min", 5400, "seconds"),
        ("90 minutes", 5400, "seconds"),
        ("2hours", 7200, "seconds"),
        (5400, 5400, "seconds"),
        ("1.5h", 5400, "seconds"),
        ("30s", 30, "seconds"),
        ("1d", 86400, "seconds"),
        ("200runs", 200, "runs"),
        ("200 runs", 200, "runs"),
        ("5e6images", 5e6, "images"),
        (0.5, 0.5, "seconds"),
    ],
)
def test_an_allowance_is_a_number_and_a_unit(value: object, amount: float, unit: str) -> None:
    assert parse_time(value) == Allowance(amount=amount, unit=unit)


@each_row("value", ["", "h", "2 weeks", "-2h", "0h", 0, -1, True, "nan", "inf", "1e999", "2h30m", "1.2.3h"])
def test_anything_else_is_none(value: object) -> None:
    assert parse_time(value) is None


@pytest.mark.parametrize("folds", [1, 5])
@pytest.mark.parametrize("amount", [70.0, 400.0, 5000.0])
def test_the_seeds_fit_and_more_would_not(amount: float, folds: int) -> None:
    found, per_seed = option(amount, of=variant(folds=folds)), COSTS.compute(variant(folds=folds), 3, "seconds")
    if amount < per_seed * folds:
        assert found is None
        return
    assert found is not None and found.seeds % folds == 0 and found.runs == 3 * found.seeds
    assert found.seconds <= amount < found.seconds + folds * per_seed


@pytest.mark.parametrize(("unit", "per_seed"), [("runs", 3), ("images", 2 * 1920)])
def test_runs_and_images_are_counted_and_a_shared_training_has_no_images(unit: str, per_seed: int) -> None:
    found = option(10 * per_seed + 1, unit)
    assert found is not None and found.seeds == 10 and found.seconds == 10 * COSTS.compute(variant(), 3, "seconds")


def test_more_time_never_shows_less_and_few_seeds_show_nothing() -> None:
    found = [option(amount) for amount in (70, 200, 800, 3200, 12800)]
    effects = [each.shows if each is not None else None for each in found]
    assert effects[0] is None and all(each is not None for each in effects[1:])
    assert all(one > other for one, other in itertools.pairwise(effects[1:]))  # type: ignore[operator]
    # The sampling of 24 test images remains, however long one trains.
    assert effects[-1] is not None and effects[-1] > 0.06 > (found[-1].shows_here or 1)  # type: ignore[union-attr]
    most = option(1e9)
    assert most is not None and most.seeds == MOST_SEEDS


def test_the_smallest_effect_of_interest_takes_no_more_seeds_than_show_it() -> None:
    found, less = option(1e5, smallest_effect=0.1), option(1e5, smallest_effect=0.15)
    assert found is not None and less is not None and found.shows is not None
    assert found.shows <= 0.1 and less.seeds < found.seeds
    before = option((found.seeds - 1) * COSTS.compute(variant(), 3, "seconds") + 0.1)
    assert before is not None and before.shows is not None and before.shows > 0.1


def test_folds_test_more_images_in_the_same_time() -> None:
    """They show smaller effects on these images; for others their interval covers other training images too."""
    one, folds = option(800), option(800, of=variant(folds=5))
    assert one is not None and folds is not None
    assert (one.num_tested, folds.num_tested) == (24, 240) and (folds.shows_here or 1) < (one.shows_here or 0)
    assert folds.seconds <= 800 and (folds.shows or 0) > (folds.shows_here or 1)


def choose(*found: Option | None, **changes: Any) -> tuple[int | None, str]:
    return recommend([each for each in found if each is not None], made(**changes), 8)


def test_the_configured_length_is_kept_where_it_decides_anything() -> None:
    """A quarter of the length has four times the seeds and shows less, but techniques act differently there."""
    whole, quarter, folds = option(800), option(800, of=variant(2)), option(800, of=variant(folds=5))
    assert quarter is not None and whole is not None and (quarter.shows or 1) < (whole.shows or 0)
    best, why = choose(quarter, whole)
    assert best == 1 and why.startswith("8 epochs as configured, since techniques act differently")
    best, why = choose(quarter, whole, folds)
    assert best == 2 and "folds test all 240 images instead of 24" in why
    best, why = choose(whole, smallest_effect=0.01)
    assert "1.00 points, the effect of interest, takes more and is not shown" in why


def test_a_shorter_length_is_taken_where_the_configured_one_decides_nothing() -> None:
    whole, quarter = option(100), option(100, of=variant(2))
    best, why = choose(whole, quarter)
    assert best == 1 and "at the configured 8 epochs too few seeds fit for any verdict, and 2 is the longest" in why


def test_nothing_is_recommended_where_nothing_decides() -> None:
    whole = option(70)
    best, why = choose(whole)
    assert best is None
    assert why == "no verdict is possible with so few seeds: 6 seeds of every arm are the fewest"
