"""Paired statistics: by hand, against SciPy, and the coverage of intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from sota_exp.statistics.paired import (
    bonett_price_interval,
    compute_mean_and_sd,
    has_spread,
    mcnemar_test,
    paired_t_interval,
)


def correctness(both: int, won: int, lost: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, False, True, False], [both, won, lost, neither])
    second = np.repeat([True, True, False, False], [both, won, lost, neither])
    return first, second


def test_mean_and_sd_by_hand() -> None:
    assert compute_mean_and_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert compute_mean_and_sd([0.5]) == (0.5, None)


def test_students_interval_by_hand() -> None:
    """Differences 0.01, 0.02, 0.03: mean 0.02, s 0.01, t(2) = 4.3027."""
    found = paired_t_interval([0.5, 0.6, 0.7], [0.51, 0.62, 0.73])
    assert found.n == 3
    assert found.mean == pytest.approx(0.02)
    assert found.high - found.mean == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-6)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


@pytest.mark.parametrize("num", [2, 3, 6, 30])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_students_interval_is_scipys(num: int, level: float) -> None:
    rng = np.random.default_rng(num)
    first, second = rng.normal(size=num), rng.normal(size=num)
    low, high = stats.ttest_rel(second, first).confidence_interval(level)
    found = paired_t_interval(first, second, level)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_an_interval_of_shares_stays_within_what_is_possible() -> None:
    found = paired_t_interval([0.1, 0.9], [0.9, 0.8], largest=1.0)
    assert (found.low, found.high) == (-1.0, 1.0)


@pytest.mark.parametrize("pair", [([1.0], [2.0]), ([], [])])
def test_one_seed_gives_no_interval_over_seeds(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        paired_t_interval(*pair)


@pytest.mark.parametrize("num", [2, 8])
@pytest.mark.parametrize("difference", [0.0, 0.05])
def test_equal_differences_have_no_interval(num: int, difference: float) -> None:
    """The formula would give one of width zero: certainty from seeds that show no noise."""
    first = np.random.default_rng(0).random(num)
    assert paired_t_interval(first, first + difference) is None and not has_spread([difference] * num)
    almost = np.append(np.full(num - 1, difference), difference + 1 / 10_000)
    assert paired_t_interval(first, first + almost) is not None


def test_unpaired_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="not paired"):
        paired_t_interval([1.0, 2.0], [1.0, 2.0, 3.0])


def test_bonett_and_price_by_hand() -> None:
    """b = 5, c = 2, n = 38: p12 = 6/40, p21 = 3/40, d = 0.075, √((0.225 − 0.075²) / 40) = 0.0740566."""
    found = bonett_price_interval(*correctness(20, 5, 2, 11))
    assert found.mean == pytest.approx(3 / 38)
    reach = 1.959964 * math.sqrt((0.225 - 0.075**2) / 40)
    assert (found.low, found.high) == pytest.approx((0.075 - reach, 0.075 + reach), rel=1e-6)


def test_equal_predictions_keep_the_width_of_a_finite_test_set() -> None:
    found = bonett_price_interval(*correctness(90, 0, 0, 10))
    assert found.mean == 0
    assert found.low == -found.high < 0


def test_swapping_mirrors_every_statistic() -> None:
    first, second = correctness(50, 9, 4, 30)
    there, back = bonett_price_interval(first, second), bonett_price_interval(second, first)
    assert (back.low, back.mean, back.high) == pytest.approx((-there.high, -there.mean, -there.low))
    one, other = mcnemar_test(first, second), mcnemar_test(second, first)
    assert (one.won, one.lost, one.p_value) == (other.lost, other.won, other.p_value)


def test_for_many_examples_it_is_the_normal_interval_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 20_000)) < np.array([0.7, 0.72])[:, None, None]
    differences = second.mean(0) - first.mean(0)
    low, high = stats.norm.interval(0.95, differences.mean(), stats.sem(differences))
    found = bonett_price_interval(first, second)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_over_examples_has_its_nominal_coverage() -> None:
    """2,000 draws of 200 examples, 8 % won and 3 % lost: 95 % within three standard errors."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        outcome = rng.choice([1, -1, 0], p=[0.08, 0.03, 0.89], size=200)
        found = bonett_price_interval(outcome == -1, outcome == 1)
        held += found.low <= 0.05 <= found.high
    assert abs(held / 2000 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize("num_seeds", [1, 3, 8])
@pytest.mark.parametrize("num", [60, 200])
def test_the_interval_over_examples_has_its_coverage_for_means_over_seeds(num_seeds: int, num: int) -> None:
    """2,000 test sets; images differ in difficulty, the second classifier is better on some and worse on others."""
    rng = np.random.default_rng([num_seeds, num])
    logits = rng.normal(1, 3, (2000, num))
    chances = [1 / (1 + np.exp(-each)) for each in (logits, logits + rng.normal(0.2, 0.4, logits.shape))]
    correct = [rng.random((num_seeds, 2000, num)) < chance for chance in chances]
    truth = (chances[1] - chances[0]).mean()
    held, widths, errors = 0, [], []
    for index in range(2000):
        one, other = (each[:, index] for each in correct)
        found = bonett_price_interval(one, other)
        held += found.low <= truth <= found.high
        widths.append(found.high - found.low)
        errors.append(found.mean)
    assert 0.94 <= held / 2000 <= 0.985
    assert np.mean(widths) <= 1.15 * 2 * 1.96 * np.std(errors)  # Little wider than the spread of the estimate needs.


def test_classifiers_with_unequal_numbers_of_seeds_have_the_interval_of_the_smaller_number() -> None:
    first, second = correctness(50, 9, 4, 30)
    one_each, more = bonett_price_interval(first, second), bonett_price_interval([first] * 4, [second])
    assert (more.low, more.mean, more.high) == pytest.approx((one_each.low, one_each.mean, one_each.high))


@pytest.mark.parametrize(
    ("won", "lost", "p_value"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (6, 2, 2 * 37 / 256), (4, 4, 1.0)]
)
def test_mcnemar_by_hand(won: int, lost: int, p_value: float) -> None:
    found = mcnemar_test(*correctness(10, won, lost, 10))
    assert (found.won, found.lost) == (won, lost)
    assert found.p_value == pytest.approx(p_value)


@pytest.mark.parametrize(("won", "lost"), [(3, 9), (40, 31), (700, 640)])
def test_mcnemar_is_the_exact_binomial_test(won: int, lost: int) -> None:
    assert mcnemar_test(*correctness(100, won, lost, 100)).p_value == pytest.approx(
        stats.binomtest(won, won + lost).pvalue, rel=1e-9
    )
