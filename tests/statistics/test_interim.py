"""Interim analyses: alpha spending, decisions that stay, and the family-wise error over all looks."""

import numpy as np
import pytest

from sota_exp.statistics.interim import compute_look_levels, run_interim_analyses

LOOKS = (8, 12, 16)
SEEDS = tuple(range(16))


def looked(table: np.ndarray, there: int = 16):  # type: ignore[no-untyped-def]
    """[seeds, arms], of which only the first `there` seeds have been run."""
    differences = {f"arm{index}": dict(enumerate(column[:there].tolist())) for index, column in enumerate(table.T)}
    settled = {name: frozenset(range(there)) for name in differences}
    return run_interim_analyses(differences, settled, SEEDS, LOOKS)


def test_the_spent_alpha_sums_to_the_level() -> None:
    assert compute_look_levels(LOOKS) == pytest.approx([0.025, 0.0125, 0.0125])
    assert compute_look_levels([6]) == pytest.approx([0.05])


def test_a_clear_arm_is_decided_at_once_and_stays_decided() -> None:
    table = np.random.default_rng(0).normal(0, 1, (16, 3))
    table[:, 1] += 20
    early, late = looked(table, 8), looked(table)
    assert early.done == [8] and early.decided == {"arm1": 8}
    assert late.done == [8, 12, 16] and late.decided["arm1"] == 8 and late.seeds["arm1"] == 8
    assert late.p_adjusted["arm1"] == early.p_adjusted["arm1"] <= 0.05


def test_no_look_is_done_where_no_arm_is_undecided() -> None:
    table = 20 + np.random.default_rng(0).normal(0, 1, (16, 2))
    assert looked(table, 8).done == looked(table).done == [8]


def test_a_look_waits_for_its_seeds() -> None:
    assert looked(np.random.default_rng(0).normal(0, 1, (16, 2)), 11).done == [8]
    assert looked(np.random.default_rng(0).normal(0, 1, (16, 2)), 7).done == []


def test_decisions_agree_with_adjusted_p_values() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        table = rng.normal(0, 1, (16, 4))
        table[:, 0] += 1.2
        found = looked(table)
        assert {name for name, value in found.p_adjusted.items() if value <= 0.05} == set(found.decided)


def test_the_family_wise_error_over_all_looks_is_at_most_the_level() -> None:
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(300):
        table = np.diff(rng.normal(0, 1, (10, 5)), axis=1)
        arms = {str(index): dict(enumerate(column.tolist())) for index, column in enumerate(table.T)}
        settled = {name: frozenset(range(10)) for name in arms}
        wrong += bool(run_interim_analyses(arms, settled, range(10), (6, 8, 10)).decided)
    assert wrong / 300 <= 0.05 + 0.0126


def test_an_arm_without_pairs_stays_undecided() -> None:
    differences = {"a": {seed: 5.0 + 0.01 * seed for seed in range(8)}, "b": {}}
    settled = {"a": frozenset(range(8)), "b": frozenset(range(8))}
    found = run_interim_analyses(differences, settled, SEEDS, LOOKS)
    assert found.decided == {"a": 8} and "b" not in found.p_adjusted
