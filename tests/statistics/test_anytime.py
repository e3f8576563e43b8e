"""Evidence at any time: a fair bet on signs, a closed test over arms, and intervals that hold after every seed."""

import itertools
import math

import numpy as np
import pytest

from sota_exp.statistics.anytime import (
    combine_log_evidence,
    compute_confidence_sequence,
    compute_log_evidence,
    run_anytime_test,
)
from tests.rows import each_row


def sizes(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, num]).exponential(1.0, num) ** 2


def looked(table: np.ndarray, there: int | None = None):  # type: ignore[no-untyped-def]
    """[seeds, arms], of which only the first `there` seeds have been run."""
    num, there = len(table), len(table) if there is None else there
    found = {
        f"arm{index}": {seed: value for seed, value in enumerate(column[:there].tolist()) if math.isfinite(value)}
        for index, column in enumerate(table.T)
    }
    return run_anytime_test(found, {name: frozenset(range(there)) for name in found}, range(num))


@each_row("num, missing", itertools.product(range(1, 9), [None, 0, 2]))
def test_the_bet_is_fair_whatever_the_sizes(num: int, missing: int | None) -> None:
    """The mean over all signs is 1, after every seed, to rounding: so it is a martingale, and no noise need be normal."""
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=num)))
    table = signs * sizes(num)
    if missing is not None and missing < num:
        table[:, missing] = np.nan
    assert np.exp(compute_log_evidence(table)).mean(0) == pytest.approx(np.ones(num), rel=1e-12)


def test_evidence_is_the_ratio_of_predictions_of_normal_differences_of_unknown_scale() -> None:
    """Against numerical integration over the scale and the mean, of which it is the closed form."""
    values = np.array([0.7, -0.2, 1.9, 1.1])
    scale, effect = np.geomspace(1e-3, 1e3, 1201), np.linspace(-9, 9, 1201) * math.sqrt(2)

    def density(part: np.ndarray) -> float:
        exponent = -((part[:, None, None] / scale[:, None] - effect) ** 2).sum(0) / 2
        found: float = (np.exp(exponent - effect**2 / 4) / scale[:, None] ** len(part)).sum()  # dσ / σ on this grid
        return found

    wanted = 1.0
    for num in range(1, 5):
        seen, turned = values[:num], values[:num] * np.array([1.0] * (num - 1) + [-1.0])
        wanted *= 2 * density(seen) / (density(seen) + density(turned))
        assert math.exp(compute_log_evidence(seen)[-1]) == pytest.approx(wanted, rel=1e-6)


def test_scale_and_direction_do_not_matter_and_zeros_and_gaps_change_nothing() -> None:
    values = np.random.default_rng(1).normal(0.5, 1, 12)
    found = compute_log_evidence(values)
    assert compute_log_evidence(-1e-3 * values) == pytest.approx(found)
    with_gaps = np.insert(values, [0, 3, 12], np.nan)
    assert compute_log_evidence(with_gaps)[-1] == pytest.approx(found[-1])
    assert compute_log_evidence(np.array([0.0, 0.0, 0.0])).tolist() == [0.0, 0.0, 0.0]
    tied = compute_log_evidence(np.array([1.0, 2.0, 0.0, 3.0]))
    assert tied[2] == tied[1] < tied[3] and compute_log_evidence(np.array([1.0])).tolist() == [0.0]
    assert compute_log_evidence(np.array([])).tolist() == []


@pytest.mark.parametrize(("num", "decides"), [(2, False), (5, False), (6, True), (8, True)])
def test_six_equal_signs_can_decide_an_arm(num: int, decides: bool) -> None:
    found = np.exp(compute_log_evidence(np.ones(num)))
    assert (found[-1] >= 20) == decides and (found <= 2.0 ** np.arange(num) + 1e-9).all()


@pytest.mark.parametrize("num_arms", [1, 2, 5])
def test_the_evidence_over_arms_is_the_least_mean_of_all_sets(num_arms: int) -> None:
    rng = np.random.default_rng(num_arms)
    for evidence in rng.exponential(3, (20, num_arms)):
        sets = [one for num in range(num_arms) for one in itertools.combinations(range(num_arms), num + 1)]
        wanted = [min(evidence[list(one)].mean() for one in sets if arm in one) for arm in range(num_arms)]
        found = np.exp(combine_log_evidence(np.log(evidence)))
        assert found == pytest.approx(np.array(wanted))
        assert (found >= evidence / num_arms - 1e-12).all()  # It decides whatever Bonferroni's rule decides.


def test_evidence_beyond_all_floats_is_still_a_number() -> None:
    found = np.exp(combine_log_evidence(np.array([2000.0, -2000.0, 5.0])))
    assert np.isfinite(found).all() and (found > 0).all() and found[0] > found[2] > 20 > found[1]


def test_many_arms_with_effects_need_less_evidence_each() -> None:
    """Bonferroni's rule needs 240 of each of twelve arms; as Holm's, the closed test needs no more of all together."""
    assert np.exp(combine_log_evidence(np.log(np.full(12, 20.0)))) == pytest.approx(20.0)


def test_a_clear_arm_is_decided_and_stays_as_it_was() -> None:
    table = np.random.default_rng(0).normal(0, 1, (20, 3))
    table[:, 1] += 20
    late, early = looked(table), looked(table, 9)
    num = late.decided["arm1"]
    assert late.decided == {"arm1": num} and 6 <= num <= 9
    assert len(late.evidence["arm1"]) == num == late.seeds["arm1"] and late.evidence["arm1"][-1] >= 20
    assert late.p_adjusted["arm1"] == early.p_adjusted["arm1"] <= 0.05
    assert late.done == [*range(1, 21)] and early.done == [*range(1, 10)] and late.seeds["arm0"] == 20


def test_p_values_are_those_of_the_largest_evidence_and_decide() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        table = rng.normal(0, 1, (15, 4))
        table[:, :2] += 1.2
        found = looked(table)
        assert {name for name, value in found.p_adjusted.items() if value <= 0.05} == set(found.decided)
        for name, evidence in found.evidence.items():
            assert found.p_adjusted[name] == pytest.approx(min(1.0, 1 / max(evidence)))
            assert found.p_values[name] <= found.p_adjusted[name] * (1 + 1e-12)


@pytest.mark.parametrize("there", [0, 1, 2, 7])
def test_nothing_is_said_before_two_differences_or_beyond_a_missing_run(there: int) -> None:
    found = looked(np.ones((8, 2)) + 0.1 * np.arange(8)[:, None], there)
    assert found.done == [*range(1, min(there, 6) + 1)]  # After six seeds both are decided.
    assert set(found.p_adjusted) == ({"arm0", "arm1"} if there > 1 else set())
    assert set(found.decided) == ({"arm0", "arm1"} if there == 7 else set())


def test_seeds_that_failed_are_no_differences_and_arms_without_any_stay_open() -> None:
    table = np.column_stack([5 + 0.1 * np.arange(12), np.full(12, np.nan)])
    table[3, 0] = np.nan
    found = looked(table)
    assert set(found.decided) == {"arm0"} and "arm1" not in found.p_adjusted
    assert found.evidence["arm0"][3] == found.evidence["arm0"][2]
    assert looked(np.zeros((8, 0))).done == []


def test_equal_differences_are_decided_as_by_sign_flips_but_zeros_never() -> None:
    assert looked(np.full((8, 1), 0.01)).decided == {"arm0": 6}
    assert looked(np.column_stack([np.full(8, 0.01), np.zeros(8)])).decided == {"arm0": 7}  # The other arm counts.
    assert looked(np.zeros((50, 1))).p_adjusted == {"arm0": 1.0}


def test_a_confidence_sequence_moves_with_the_differences_and_shrinks() -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        values = rng.normal(0.3, 1, 14)
        found = compute_confidence_sequence(values)
        assert found is not None and found.low < found.mean < found.high and found.n == 14
        moved = compute_confidence_sequence(0.01 * values + 5)
        assert moved is not None
        assert (moved.low, moved.high) == pytest.approx((5 + 0.01 * found.low, 5 + 0.01 * found.high), abs=1e-4)
        before = compute_confidence_sequence(values[:-1])
        assert before is not None and before.low - 1e-9 <= found.low and found.high <= before.high + 1e-9


def test_the_interval_of_one_arm_excludes_zero_where_it_is_decided() -> None:
    rng, num_decided = np.random.default_rng(5), 0
    for _ in range(40):
        values = rng.normal(0.8, 1, 12)
        found, decided = compute_confidence_sequence(values), looked(values[:, None]).decided
        assert found is not None and (found.low > 0 or found.high < 0) == bool(decided)
        num_decided += bool(decided)
    assert 5 < num_decided < 40


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.2], [0.1, -0.2, 0.3, 0.4, 0.5], [0.01] * 9, [0.0] * 9])
def test_too_few_or_equal_differences_have_no_interval(values: list[float]) -> None:
    assert compute_confidence_sequence(values) is None


def test_few_test_images_give_no_interval_without_width() -> None:
    """Eight of nine differences are equal, one is an image of 24 more."""
    found = compute_confidence_sequence([0.0] * 6 + [1 / 24] + [0.0] * 2, largest=1.0)
    assert found is not None and found.low <= -1 / 48 and found.high >= 1 / 48


def test_an_interval_is_cut_at_the_largest_difference_and_never_empty() -> None:
    wide = compute_confidence_sequence([0.9, -0.8, 0.7, 0.1, -0.9, 0.5], largest=1.0)
    assert wide is not None and (wide.low, wide.high) == (-1.0, 1.0)
    jump = np.concatenate([0.001 * np.random.default_rng(6).normal(size=30) + shift for shift in (0.0, 1.0)])
    found = compute_confidence_sequence(jump)  # Every shift was refused at some time.
    assert found is not None and found.low < found.high and found.low <= found.mean <= found.high


def test_the_confidence_sequence_contains_the_mean_after_every_seed_at_once() -> None:
    rng, num = np.random.default_rng(7), 200
    missed = 0
    for _ in range(num):
        values = rng.normal(0.5, 1, 20)
        found = compute_confidence_sequence(values)
        assert found is not None
        missed += not found.low <= 0.5 <= found.high
    assert missed / num <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / num)
