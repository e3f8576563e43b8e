"""Does the winner win: the arithmetic of a confirmation, and its words."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from sota_exp.statistics.paired import paired_t_interval
from sota_exp.sweep.confirm import ConfirmedArm, compute_p_value, summarize_confirmation

SEEDS = [1000, 1001, 1002, 1003]


def arm(name, number, val, test):
    seeds = dict(zip(SEEDS, val, strict=False))
    return ConfirmedArm(
        name=name,
        number=number,
        overrides=[f"x={name}"],
        val=seeds,
        test=dict(zip(SEEDS, test, strict=False)),
        failures={},
    )


DEFAULT = arm("default", None, [0.80, 0.81, 0.79, 0.80], [0.80, 0.82, 0.79, 0.81])


@pytest.mark.parametrize(
    "gains, verdict, says",
    [
        ([0.02, 0.021, 0.019, 0.02], "beats", "Trial 3 beats the recipe's own values: +2.00 points of test accuracy"),
        ([-0.02, -0.021, -0.019, -0.02], "loses", "Keep the recipe"),
        ([0.02, -0.02, 0.01, -0.01], "cannot be distinguished", "4 seeds and this noise, differences above"),
        ([0.0, 0.0, 0.0, 0.0], "cannot be distinguished", ": 0.00 points"),
    ],
)
def test_the_verdict_is_that_of_the_paired_interval_on_test(gains, verdict, says):
    test = [value + gain for value, gain in zip(DEFAULT.test.values(), gains, strict=True)]
    found = summarize_confirmation([DEFAULT, arm("trial-3", 3, [0.9] * 4, test)], "val/accuracy", "maximize", SEEDS)
    assert found["verdict"] == verdict and says in found["words"]
    expected = paired_t_interval(list(DEFAULT.test.values()), test)
    assert found["test"]["interval"] == pytest.approx([expected.low, expected.high])


def test_the_winner_is_chosen_by_val_and_test_is_its_alone():
    good_on_test = arm("trial-1", 1, [0.80, 0.80, 0.80, 0.80], [0.99] * 4)
    good_on_val = arm("trial-2", 2, [0.85, 0.86, 0.85, 0.86], [0.80, 0.82, 0.80, 0.81])
    found = summarize_confirmation([DEFAULT, good_on_test, good_on_val], "val/accuracy", "maximize", SEEDS)
    assert found["winner"] == "trial-2" and found["overrides"] == ["x=trial-2"]
    assert found["test"]["mean"] == pytest.approx(0.0025)


def test_a_loss_is_better_when_it_is_lower():
    low = arm("trial-1", 1, [0.5, 0.51, 0.49, 0.5], [0.5, 0.52, 0.49, 0.5])
    found = summarize_confirmation(
        [DEFAULT, low, arm("trial-2", 2, [0.9] * 4, [0.9] * 4)], "val/loss", "minimize", SEEDS
    )
    assert (found["winner"], found["verdict"]) == ("trial-1", "beats")
    assert "test loss" in found["words"]


def test_the_p_value_is_that_of_students_paired_test():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=6), rng.normal(size=6)
    assert compute_p_value(paired_t_interval(one, other)) == pytest.approx(ttest_rel(other, one).pvalue)
    assert compute_p_value(paired_t_interval([1.0, 2.0], [2.0, 3.0])) is None


def test_an_arm_that_lost_seeds_is_compared_on_those_it_has():
    short = arm("trial-1", 1, [0.9, 0.9], [0.9, 0.92])
    found = summarize_confirmation([DEFAULT, short], "val/accuracy", "maximize", SEEDS)
    assert found["test"]["n"] == 2
    alone = summarize_confirmation([DEFAULT, arm("trial-1", 1, [0.9], [0.9])], "val/accuracy", "maximize", SEEDS)
    assert alone["verdict"] == "too few seeds" and alone["test"] is None


def test_a_loss_that_rises_loses_and_its_difference_is_the_rise():
    losses = arm("default", None, [0.5, 0.6, 0.5, 0.6], [0.5, 0.6, 0.5, 0.6])
    other = arm("trial-3", 3, [0.4] * 4, [0.7, 0.82, 0.69, 0.8])
    found = summarize_confirmation([losses, other], "val/loss", "minimize", SEEDS)
    assert found["verdict"] == "loses" and "+0.2025 of test loss" in found["words"]
    assert found["test"]["mean"] == pytest.approx(0.2025)


def test_equal_differences_decide_nothing():
    """Two seeds, the same gain on both: a spread of zero is no knowledge of the noise."""
    other = arm("trial-3", 3, [0.9] * 2, [0.81, 0.83])
    found = summarize_confirmation([DEFAULT, other], "val/accuracy", "maximize", SEEDS[:2])
    assert found["verdict"] == "cannot be distinguished" and "the noise is unknown" in found["words"]
