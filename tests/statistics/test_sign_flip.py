"""The joint sign-flip test: by hand, against SciPy and a plain loop, its properties, and its family-wise error."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sota_exp.statistics.power import find_detectable_difference
from sota_exp.statistics.sign_flip import (
    MAX_EXACT_SEEDS,
    NUM_DRAWN_FLIPS,
    draw_sign_flips,
    find_smallest_p_value,
    sign_flip_test,
)


def test_one_arm_gives_scipys_permutation_test() -> None:
    values = np.random.default_rng(0).normal(0.6, 1, 8)
    (own,) = sign_flip_test(values[:, None]).p_values
    expected = stats.permutation_test((values,), np.sum, permutation_type="samples", alternative="two-sided")
    assert own == pytest.approx(expected.pvalue)


def test_the_adjusted_p_value_is_that_of_a_plain_loop() -> None:
    table = np.random.default_rng(1).normal(0.4, 1, (6, 3))
    statistics = []
    for signs in itertools.product((1, -1), repeat=6):
        turned = table * np.array(signs)[:, None]
        statistics.append(np.abs(stats.ttest_1samp(turned, 0).statistic))
    highest, observed = np.max(statistics, axis=1), statistics[0]
    expected = [(highest >= value - 1e-12).mean() for value in observed]
    assert sign_flip_test(table).p_adjusted == pytest.approx(expected)


def test_a_clear_effect_reaches_the_smallest_p_value_and_no_other_arm_hides_it() -> None:
    table = np.random.default_rng(2).normal(0, 1, (7, 5))
    table[:, 0] = 100 + 0.001 * table[:, 0]
    found = sign_flip_test(table)
    assert found.p_values[0] == found.p_adjusted[0] == find_smallest_p_value(7) == 2 / 2**7


def test_scale_and_sign_do_not_matter_and_more_arms_never_lower_p() -> None:
    table = np.random.default_rng(3).normal(0.5, 1, (8, 4))
    found = sign_flip_test(table)
    assert sign_flip_test(-100 * table).p_adjusted == found.p_adjusted
    assert all(joint >= own for joint, own in zip(found.p_adjusted, found.p_values, strict=True))
    alone = sign_flip_test(table[:, :2])
    assert all(many >= few for many, few in zip(found.p_adjusted, alone.p_adjusted, strict=False))


def test_no_difference_at_all_is_no_effect_and_the_same_difference_everywhere_is_the_clearest() -> None:
    assert sign_flip_test(np.zeros((6, 2))).p_adjusted == (1.0, 1.0)
    found = sign_flip_test(np.column_stack([np.full(6, 0.01), np.zeros(6)]))
    assert found.p_values[0] == 2 / 2**6 and found.p_adjusted[1] == 1.0


def test_missing_seeds_affect_only_their_own_arm() -> None:
    table = np.random.default_rng(4).normal(0.5, 1, (8, 2))
    holes = table.copy()
    holes[6:, 1] = np.nan
    assert sign_flip_test(holes).p_values[0] == pytest.approx(sign_flip_test(table).p_values[0])
    assert sign_flip_test(holes).p_values[1] == pytest.approx(sign_flip_test(table[:6, 1:]).p_values[0])


def test_for_many_seeds_sign_flips_are_drawn_reproducibly() -> None:
    num = MAX_EXACT_SEEDS + 2
    assert draw_sign_flips(num).shape == (NUM_DRAWN_FLIPS, num) and set(np.unique(draw_sign_flips(num))) == {-1.0, 1.0}
    assert (draw_sign_flips(num)[0] == 1).all()
    table = np.random.default_rng(5).normal(0.5, 1, (num, 3))
    assert sign_flip_test(table) == sign_flip_test(table)
    expected = stats.ttest_1samp(table, 0).pvalue
    assert sign_flip_test(table).p_values == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("shape", [(1, 3), (4,)])
def test_other_shapes_than_seeds_by_arms_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected|at least 2"):
        sign_flip_test(np.ones(shape))


def accuracies(rng: np.random.Generator, num_arms: int, num_seeds: int, gain: float = 0.0) -> np.ndarray:
    """Accuracies of a ladder [arms + 1, seeds]: a random shift per run and binomial noise of 2,000 test images.

    `gain` is added from the middle arm on.
    """
    shift, binomial = 0.008, 0.33 / np.sqrt(2000)
    made = (
        0.6
        + shift * rng.standard_normal((num_arms + 1, num_seeds))
        + binomial * rng.standard_normal((num_arms + 1, num_seeds))
    )
    made[num_arms // 2 + 1 :] += gain
    return np.round(made * 2000) / 2000


#: Standard deviation of the paired differences of `accuracies`.
SD = np.sqrt(2 * (0.008**2 + 0.33**2 / 2000))


@pytest.mark.parametrize(("num_arms", "num_seeds"), [(12, 8), (12, 6), (4, 8), (1, 6)])
def test_the_family_wise_error_is_at_most_one_in_twenty(num_arms: int, num_seeds: int) -> None:
    """2,000 simulated ladders without effects; Student's intervals have their coverage too."""
    rng = np.random.default_rng([7, num_arms, num_seeds])
    reach = stats.t.ppf(0.975, num_seeds - 1) / np.sqrt(num_seeds)
    wrong, covered = 0, []
    for _ in range(2000):
        differences = np.diff(accuracies(rng, num_arms, num_seeds), axis=0).T
        wrong += min(sign_flip_test(differences).p_adjusted) <= 0.05
        covered.append(np.abs(differences.mean(0)) <= reach * differences.std(0, ddof=1))
    assert wrong / 2000 <= 0.05 + 0.005  # Noise of 2,000 studies; with 8 seeds the level of the test is 6 / 128.
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(("num_arms", "num_seeds"), [(12, 8), (12, 10), (4, 8)])
def test_an_effect_of_the_planned_size_is_found_in_four_of_five_studies(num_arms: int, num_seeds: int) -> None:
    size = find_detectable_difference(SD, num_seeds, num_arms)
    assert size is not None
    rng, found = np.random.default_rng([8, num_arms, num_seeds]), 0
    for _ in range(1000):
        differences = np.diff(accuracies(rng, num_arms, num_seeds, size), axis=0).T
        joint = sign_flip_test(differences)
        middle = num_arms // 2
        found += joint.p_adjusted[middle] <= 0.05 and differences[:, middle].mean() > 0
    assert found / 1000 >= 0.78  # 0.8, less the noise of 1,000 studies.
