"""Power: nothing is detectable with too few seeds, smaller effects with more seeds, and the number of seeds needed."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sota_exp.statistics.designs import build_plackett_burman_design
from sota_exp.statistics.effects import compute_effects
from sota_exp.statistics.power import (
    MAX_SIMULATED_SEEDS,
    assume_difference_sd,
    find_detectable_difference,
    find_detectable_main_effect,
    find_detectable_standardized_effect,
    find_num_seeds,
)


@pytest.mark.parametrize("num_seeds", [1, 2, 5])
def test_too_few_seeds_detect_nothing(num_seeds: int) -> None:
    """2^(1 − 5) > 0.05: no sign-flip test of five seeds can be significant."""
    assert find_detectable_difference(0.01, num_seeds, 3) is None


def test_more_seeds_detect_smaller_effects_and_more_arms_need_larger_ones() -> None:
    sizes = [find_detectable_standardized_effect(num, 12) for num in (6, 7, 8, 9, 10, 12, 16, 32)]
    assert all(one is not None and other is not None and one > other for one, other in itertools.pairwise(sizes))
    assert (find_detectable_standardized_effect(8, 1) or 0) < (find_detectable_standardized_effect(8, 12) or 0)


def test_simulated_and_computed_effects_agree() -> None:
    at, beyond = (
        find_detectable_standardized_effect(MAX_SIMULATED_SEEDS, 12),
        find_detectable_standardized_effect(MAX_SIMULATED_SEEDS + 1, 12),
    )
    assert at is not None and beyond is not None
    assert beyond * math.sqrt(MAX_SIMULATED_SEEDS + 1) == pytest.approx(at * math.sqrt(MAX_SIMULATED_SEEDS), rel=0.08)


def test_one_arm_and_many_seeds_give_the_power_of_the_t_test() -> None:
    size, df = find_detectable_standardized_effect(30, 1), 29
    assert size is not None
    power = 1 - stats.nct.cdf(stats.t.ppf(0.975, df), df, size * math.sqrt(30))
    assert power == pytest.approx(0.815, abs=0.002)


def test_seeds_needed_are_the_fewest() -> None:
    num = find_num_seeds(0.005, 0.0085, 12)
    assert num is not None
    sizes = [find_detectable_difference(0.0085, count, 12) for count in (num - 1, num)]
    assert sizes[0] is not None and sizes[1] is not None and sizes[1] <= 0.005 < sizes[0]
    assert find_num_seeds(1e-5, 0.01, 12) is None
    assert find_num_seeds(1.0, 0.01, 12) == 6


def test_the_assumed_sd_is_that_of_images_whose_correctness_changes() -> None:
    """A fifth of 2,000 images differ in correctness between two runs, equally often each way."""
    rng = np.random.default_rng(0)
    changed = rng.random((4000, 2000)) < 0.2
    difference = np.where(changed, np.where(rng.random((4000, 2000)) < 0.5, 1, -1), 0).mean(1)
    assert assume_difference_sd(2000) == pytest.approx(difference.std(), rel=0.05)


@pytest.mark.parametrize("num_seeds", [1, 2, 4])
def test_the_detectable_effect_of_a_design_is_found_in_four_of_five(num_seeds: int) -> None:
    """Twelve factors in 24 cells, one with a true effect; paired differences have sd 1."""
    design, rng = build_plackett_burman_design(12), np.random.default_rng(3)
    effect = find_detectable_main_effect(1.0, len(design), num_seeds, 12)
    assert effect is not None
    names, found = [f"f{index}" for index in range(12)], 0
    for _ in range(200):
        noise = rng.normal(0, np.sqrt(0.5), (len(design), num_seeds))
        made = compute_effects(names, design, noise + effect / 2 * design[:, :1])
        found += made[0].p_adjusted <= 0.05
    assert 0.72 <= found / 200 <= 0.92  # Four standard errors of the simulation below, and Šidák's level is a bound.


def test_a_design_of_one_seed_needs_more_cells_than_effects() -> None:
    assert find_detectable_main_effect(1.0, 12, 1, 11) is None
