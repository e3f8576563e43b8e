"""Effects of designs: true effects are recovered, the family-wise error is kept, and aliases are named."""

import numpy as np
import pytest

from sota_exp.statistics.designs import (
    build_plackett_burman_design,
    build_resolution_five_design,
    remove_forbidden_cells,
)
from sota_exp.statistics.effects import compute_effects, find_aliases, maximum_modulus_cdf

NAMES = tuple("abcdefghijkl")
PLANTED = {"b": 0.02, "f": -0.015, "l": 0.03}


def measured(design: np.ndarray, num_seeds: int, sd: float, rng: np.random.Generator, pair: float = 0.0) -> np.ndarray:
    """Accuracies [cells, seeds]: main effects, an interaction of the first two factors, a shift per seed, noise."""
    sizes = np.array([PLANTED.get(name, 0.0) for name in NAMES[: design.shape[1]]])
    mean = 0.7 + design @ sizes / 2 + pair * design[:, 0] * design[:, 1] / 2
    return mean[:, None] + 0.02 * rng.standard_normal(num_seeds) + sd * rng.standard_normal((len(design), num_seeds))


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_screening_design_of_24_cells_recovers_true_main_effects(num_seeds: int) -> None:
    """200 studies: unbiased estimates, intervals that cover, every true effect detected in four of five."""
    design, rng = build_plackett_burman_design(12), np.random.default_rng(num_seeds)
    estimates, covered, found = [], [], dict.fromkeys(PLANTED, 0)
    for _ in range(200):
        made = {
            item.factors[0]: item for item in compute_effects(NAMES, design, measured(design, num_seeds, 0.01, rng))
        }
        estimates.append([made[name].estimate for name in NAMES])
        ends = {name: made[name].interval or (0.0, 0.0) for name in NAMES}
        covered.append([ends[name][0] <= PLANTED.get(name, 0.0) <= ends[name][1] for name in NAMES])
        for name, size in PLANTED.items():
            found[name] += made[name].p_adjusted <= 0.05 and made[name].estimate * size > 0
    assert np.mean(estimates, axis=0) == pytest.approx([PLANTED.get(name, 0.0) for name in NAMES], abs=0.002)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert min(found["b"], found["l"]) / 200 >= 0.8
    assert found["f"] / 200 >= (0.8 if num_seeds == 2 else 0.5)


def test_an_interaction_does_not_move_main_effects_of_the_folded_design() -> None:
    design = build_plackett_burman_design(12)
    quiet = measured(design, 1, 0.0, np.random.default_rng(0), pair=0.05)
    made = {item.factors[0]: item.estimate for item in compute_effects(NAMES, design, quiet)}
    assert made == pytest.approx({name: PLANTED.get(name, 0.0) for name in NAMES}, abs=1e-12)


def test_resolution_five_recovers_a_true_interaction() -> None:
    names, design, rng = NAMES[:5], build_resolution_five_design(5), np.random.default_rng(3)
    found, others = 0, 0
    for _ in range(200):
        made = compute_effects(names, design, measured(design, 3, 0.01, rng, pair=0.02), with_pairs=True)
        pairs = {item.factors: item for item in made if len(item.factors) == 2}
        assert len(pairs) == 10
        found += pairs["a", "b"].p_adjusted <= 0.05 and pairs["a", "b"].estimate > 0
        others += any(item.p_adjusted <= 0.05 for key, item in pairs.items() if key != ("a", "b"))
    assert found / 200 >= 0.8 and others / 200 <= 0.09


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_no_effects_are_found_where_there_are_none(num_seeds: int) -> None:
    """200 designs without effects: at most one in twenty finds any effect."""
    design, rng = build_plackett_burman_design(12), np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        noise = rng.standard_normal((24, num_seeds))
        wrong += min(item.p_adjusted for item in compute_effects(NAMES, design, noise)) <= 0.05
    assert wrong / 200 <= 0.05 + 0.0155


def test_effects_survive_cells_that_are_left_out() -> None:
    cells = remove_forbidden_cells(
        NAMES, build_plackett_burman_design(12), lambda on: "no" if {"a", "b"} <= set(on) else None, False
    )
    quiet = measured(cells.design, 2, 0.0, np.random.default_rng(0))
    made = {item.factors[0]: item.estimate for item in compute_effects(NAMES, cells.design, quiet)}
    assert made == pytest.approx({name: PLANTED.get(name, 0.0) for name in NAMES}, abs=1e-12)
    assert find_aliases(NAMES, cells.design, (0,), [(1,)]) == ["b (-0.33)"]


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_runs_without_noise_decide_nothing(num_seeds: int) -> None:
    """Accuracies on few images are often equal: a variance of zero is no certainty."""
    design = build_plackett_burman_design(12)
    for item in compute_effects(NAMES, design, measured(design, num_seeds, 0.0, np.random.default_rng(0))):
        assert (item.interval, item.p_value, item.p_adjusted) == (None, 1.0, 1.0)
        assert item.estimate == pytest.approx(PLANTED.get(item.factors[0], 0.0))


def test_a_missing_run_is_allowed_and_too_few_runs_are_refused() -> None:
    design = build_plackett_burman_design(4)
    values = measured(design, 2, 0.01, np.random.default_rng(1))
    values[3, 1] = np.nan
    assert len(compute_effects(NAMES[:4], design, values)) == 4
    values[2:] = np.nan
    with pytest.raises(ValueError, match="do not determine"):
        compute_effects(NAMES[:4], design, values)


def test_the_maximum_modulus_against_simulation() -> None:
    rng = np.random.default_rng(0)
    highest = np.abs(rng.standard_normal((200_000, 12)) / np.sqrt(rng.chisquare(11, (200_000, 1)) / 11)).max(1)
    for value in (2.0, 3.0, 4.0):
        assert maximum_modulus_cdf(value, 12, 11) == pytest.approx((highest <= value).mean(), abs=0.004)


def test_the_interaction_of_a_design_is_both_minus_first_minus_second_plus_neither() -> None:
    """Both − first − second + neither: two techniques that gain 2 only together."""
    design = build_resolution_five_design(5)
    together = 2.0 * ((design[:, 0] > 0) & (design[:, 1] > 0))
    noise = np.random.default_rng(0).normal(0, 1e-6, (len(design), 2))
    found = {
        each.factors: each
        for each in compute_effects(list("abcde"), design, together[:, None] + noise, with_pairs=True)
    }
    assert found["a", "b"].estimate == pytest.approx(2.0, abs=1e-4)
    assert found[("a",)].estimate == pytest.approx(1.0, abs=1e-4)
