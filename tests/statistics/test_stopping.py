"""What each kind of looks costs: simulated seeds agree with the rules they are about."""

import math

import numpy as np
import pytest

from sota_exp.statistics.anytime import run_anytime_test
from sota_exp.statistics.power import find_detectable_standardized_effect, find_num_seeds
from sota_exp.statistics.stopping import (
    MAX_SIMULATED_SEEDS,
    compute_costs_of_looks,
    estimate_further_seeds,
    find_detectable_anytime_effect,
    find_num_anytime_seeds,
    simulate_anytime_seeds,
)


@pytest.mark.parametrize(
    ("num_arms", "effect", "median"), [(1, 0.5, 37), (1, 1, 11), (1, 2, 7), (12, 1, 19), (12, 1.5, 13), (12, 3, 10)]
)
def test_the_median_seeds_are_those_of_the_documents(num_arms: int, effect: float, median: int) -> None:
    assert abs(np.median(simulate_anytime_seeds(effect, num_arms, 60)) - median) <= 1


def test_the_simulated_arm_is_decided_as_a_study_decides_it() -> None:
    """Among twelve arms without effects, whose evidence it needs no less than twelvefold."""
    rng, differing = np.random.default_rng(0), 0
    for _ in range(40):
        table = rng.normal(0, 1, (25, 12))
        table[:, 0] += 1.5
        arms = {str(index): dict(enumerate(column.tolist())) for index, column in enumerate(table.T)}
        settled = {name: frozenset(range(25)) for name in arms}
        found = run_anytime_test(arms, settled, range(25)).decided.get("0", math.inf)
        own = run_anytime_test({"0": arms["0"]}, settled, range(25), 1 - 0.05 / 12).decided.get("0", math.inf)
        assert found <= own
        differing += found < own
    assert differing <= 12


@pytest.mark.parametrize(("num_seeds", "num_arms"), [(8, 1), (12, 1), (12, 12), (24, 12)])
def test_the_detectable_effect_is_shown_within_its_seeds_and_larger_than_that_of_fixed_ones(
    num_seeds: int, num_arms: int
) -> None:
    effect = find_detectable_anytime_effect(num_seeds, num_arms)
    fixed = find_detectable_standardized_effect(num_seeds, num_arms)
    assert effect is not None and fixed is not None and fixed < effect < 2.5 * fixed
    assert (found := find_num_anytime_seeds(effect, num_arms)) is not None and found <= num_seeds


@pytest.mark.parametrize(("num_seeds", "num_arms"), [(5, 1), (8, 12)])
def test_so_few_seeds_decide_no_arm_that_is_alone(num_seeds: int, num_arms: int) -> None:
    assert find_detectable_anytime_effect(num_seeds, num_arms) is None


def test_an_effect_that_needs_too_many_seeds_has_no_number() -> None:
    assert find_num_anytime_seeds(0.02, 12) is None
    assert compute_costs_of_looks(0.02, 12) == []


@pytest.mark.parametrize("num_arms", [1, 12])
@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0])
def test_each_kind_of_looks_shows_the_effect_and_has_its_price(num_arms: int, effect: float) -> None:
    fixed, planned, anytime = compute_costs_of_looks(effect, num_arms)
    assert [each.kind for each in (fixed, planned, anytime)] == ["fixed", "planned", "anytime"]
    assert fixed.most == fixed.with_effect == fixed.without == find_num_seeds(effect, 1.0, num_arms)
    for each in (planned, anytime):
        assert each.power >= 0.8 and each.with_effect <= each.without <= each.most <= MAX_SIMULATED_SEEDS
        assert each.without >= 0.95 * each.most  # Without an effect almost no arm is decided.
    assert anytime.most > fixed.most


def test_planned_looks_of_ones_own_are_taken_as_they_are() -> None:
    (planned,) = [each for each in compute_costs_of_looks(1.0, 4, looks=[8, 12, 16]) if each.kind == "planned"]
    assert planned.most == 16 and 8 < planned.with_effect < 16 and 0.5 < planned.power < 1


def test_further_seeds_are_few_for_a_clear_effect_and_unknown_without_one() -> None:
    rng = np.random.default_rng(1)
    clear, unclear = rng.normal(2, 1, 5), np.array([0.5, -0.5, 0.4, -0.4])
    few, more = estimate_further_seeds(clear, 5.0), estimate_further_seeds(clear, 500.0)
    assert few is not None and more is not None and 1 <= few < more < 30
    assert estimate_further_seeds(unclear, 20.0) is None
    assert estimate_further_seeds(np.full(5, 0.1), 20.0) is None
