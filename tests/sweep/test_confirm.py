"""Does the winner win: the arithmetic of a confirmation, and its words."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from scipy.stats import ttest_rel

from sota_exp import CONF
from sota_exp.errors import ConfigError
from sota_exp.report.numbers import format_duration
from sota_exp.statistics.paired import paired_t_interval
from sota_exp.statistics.two_sources import combine_crossed
from sota_exp.statistics.what_next import advise
from sota_exp.sweep.confirm import ConfirmedArm, PairedImages, choose_winner, compute_p_value, summarize_confirmation
from sota_exp.sweep.console import format_sweep_plan
from sota_exp.sweep.settings import ConfirmSettings, read_settings

SEEDS, CHOICE_SEEDS = [1000, 1001, 1002, 1003], [2000, 2001, 2002, 2003]


def arm(name, number, val, test):
    """An arm that has the same values of val on the seeds of the choice and of the comparison."""
    seeds = dict(zip(SEEDS, val, strict=False)) | dict(zip(CHOICE_SEEDS, val, strict=False))
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
        (
            [0.02, 0.021, 0.019, 0.02],
            "beats here",
            "Trial 3 beats the recipe's own values on these test images: +2.00 points of",
        ),
        ([-0.02, -0.021, -0.019, -0.02], "loses here", "Keep the recipe"),
        ([0.02, -0.02, 0.01, -0.01], "cannot be distinguished", "4 seeds and this noise, differences above"),
        (
            [0.0, 0.0, 0.0, 0.0],
            "cannot be distinguished",
            ": 0.00 points of test accuracy (no interval: it is the same",
        ),
        ([0.25, 0.25, 0.25, 0.25], "cannot be distinguished", "so the noise is unknown; 4 paired fresh seeds)"),
    ],
)
def test_the_verdict_is_that_of_the_paired_interval_on_test(gains, verdict, says):
    test = [value + gain for value, gain in zip(DEFAULT.test.values(), gains, strict=True)]
    found = summarize_confirmation(
        [DEFAULT, arm("trial-3", 3, [0.9] * 4, test)], "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS
    )
    assert found["verdict"] == verdict and says in found["words"]
    is_decided = verdict != "cannot be distinguished"
    assert found["next"][0].startswith("Nothing is open" if is_decided else "Trial 3: ")
    expected = paired_t_interval(list(DEFAULT.test.values()), test)
    assert (found["test"]["interval"] is None) == (found["test"]["p_value"] is None) == (expected is None)
    if expected is not None:
        assert found["test"]["interval"] == pytest.approx([expected.low, expected.high])


@pytest.mark.parametrize(
    ("num_images", "sign", "verdict", "says"),
    [
        (2000, 1, "beats", "in new training runs on new images like these; 4 paired"),
        (2000, -1, "loses", "in new training runs on new images like these; 4 paired"),
        (50, 1, "beats here", "on these test images: +4.0"),
        (50, -1, "loses here", "Other images like these could show no difference (95 % interval −10"),
    ],
)
def test_what_these_images_show_is_said_of_new_ones_only_where_they_are_many(num_images, sign, verdict, says):
    """The same images change at every seed, 4 % of them: the noise of seeds is small, that of images is not."""
    changed = np.arange(num_images) < 0.04 * num_images
    table = sign * np.tile(changed, (4, 1)).astype(float)
    table[0, -1], table[1, -2] = sign, -sign  # Without noise of the seeds nothing is known of it.
    differences = table.mean(axis=1)
    test = [value + difference for value, difference in zip(DEFAULT.test.values(), differences, strict=True)]
    on_new = combine_crossed(table)
    advice = advise(differences, 1, image_variance=on_new.lasting, num_images=num_images)
    paired = PairedImages(on_new=on_new, advice=advice, num_images=num_images)
    winner = arm("trial-3", 3, [0.9] * 4, test)
    found = summarize_confirmation([DEFAULT, winner], "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS, paired)
    assert found["verdict"] == verdict and says in found["words"]
    ends = on_new.find_interval(largest=1.0)
    assert found["test"]["new_images"] == {"interval": [ends.low, ends.high], "p_value": on_new.p_value}
    assert (ends.low <= 0 <= ends.high) == verdict.endswith(" here")
    open_words = "more seeds alone don't" if num_images == 50 else "Nothing is open"
    assert open_words in found["next"][0]


def test_the_winner_is_chosen_by_val_and_test_is_its_alone():
    good_on_test = arm("trial-1", 1, [0.80, 0.80, 0.80, 0.80], [0.99] * 4)
    good_on_val = arm("trial-2", 2, [0.85, 0.86, 0.85, 0.86], [0.80, 0.82, 0.80, 0.81])
    found = summarize_confirmation(
        [DEFAULT, good_on_test, good_on_val], "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS
    )
    assert found["winner"] == "trial-2" and found["overrides"] == ["x=trial-2"]
    assert found["test"]["mean"] == pytest.approx(0.0025)


def test_what_next_names_seeds_and_their_time_and_first_that_nothing_was_learned():
    noisy = replace(arm("trial-3", 3, [0.9] * 4, [0.82, 0.81, 0.81, 0.80]), seconds=50.0)
    default = replace(DEFAULT, seconds=10.0)
    found = summarize_confirmation([default, noisy], "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS)
    words, how = found["next"]
    num = int(words.split()[8])
    assert (
        words.startswith(f"Trial 3: Seems to differ by 0.50 points; {num} seeds ({format_duration(60.0 * num)}) would")
        and "study.looks=anytime" in how
    )
    low = [replace(each, at_chance=True) for each in (default, noisy)]
    found = summarize_confirmation(low, "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS)
    assert found["next"][0].startswith("Neither the recipe's own values nor the winner learned anything")


def test_a_loss_is_better_when_it_is_lower():
    low = arm("trial-1", 1, [0.5, 0.51, 0.49, 0.5], [0.5, 0.52, 0.49, 0.5])
    found = summarize_confirmation(
        [DEFAULT, low, arm("trial-2", 2, [0.9] * 4, [0.9] * 4)], "val/loss", "minimize", SEEDS, CHOICE_SEEDS
    )
    assert (found["winner"], found["verdict"]) == ("trial-1", "beats here")
    assert "test loss" in found["words"]


def test_the_p_value_is_that_of_students_paired_test():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=6), rng.normal(size=6)
    assert compute_p_value(paired_t_interval(one, other)) == pytest.approx(ttest_rel(other, one).pvalue)


def test_an_arm_that_lost_seeds_is_compared_on_those_it_has():
    short = arm("trial-1", 1, [0.9, 0.9], [0.9, 0.92])
    found = summarize_confirmation([DEFAULT, short], "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS)
    assert found["test"]["n"] == 2
    alone = summarize_confirmation(
        [DEFAULT, arm("trial-1", 1, [0.9], [0.9])], "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS
    )
    assert alone["verdict"] == "too few seeds" and alone["test"] is None


def test_a_loss_that_rises_loses_and_its_difference_is_the_rise():
    losses = arm("default", None, [0.5, 0.6, 0.5, 0.6], [0.5, 0.6, 0.5, 0.6])
    other = arm("trial-3", 3, [0.4] * 4, [0.7, 0.82, 0.69, 0.8])
    found = summarize_confirmation([losses, other], "val/loss", "minimize", SEEDS, CHOICE_SEEDS)
    assert found["verdict"] == "loses here" and "+0.2025 of test loss" in found["words"]
    assert found["test"]["mean"] == pytest.approx(0.2025)


def test_equal_differences_decide_nothing():
    """Two seeds, the same gain on both: a spread of zero is no knowledge of the noise."""
    other = arm("trial-3", 3, [0.9] * 2, [0.81, 0.83])
    found = summarize_confirmation([DEFAULT, other], "val/accuracy", "maximize", SEEDS[:2], CHOICE_SEEDS[:2])
    assert found["verdict"] == "cannot be distinguished" and "the noise is unknown" in found["words"]


def test_the_winner_is_chosen_on_other_seeds_than_those_that_test_it():
    """Trial 1 is the best on the seeds of the comparison, trial 2 on those of the choice."""

    def split(name, number, choice, comparison):
        val = dict.fromkeys(CHOICE_SEEDS, choice) | dict.fromkeys(SEEDS, comparison)
        test = {seed: value + seed % 7 / 1000 for seed, value in val.items()}
        return ConfirmedArm(name=name, number=number, overrides=[], val=val, test=test, failures={})

    default = arm("default", None, [0.80, 0.81, 0.79, 0.80], [0.80, 0.82, 0.79, 0.81])
    arms = [default, split("trial-1", 1, 0.8, 0.9), split("trial-2", 2, 0.9, 0.8)]
    found = summarize_confirmation(arms, "val/accuracy", "maximize", SEEDS, CHOICE_SEEDS)
    assert found["winner"] == "trial-2" and found["choice_seeds"] == CHOICE_SEEDS
    expected = np.mean([arms[2].test[seed] - default.test[seed] for seed in SEEDS])
    assert found["test"]["mean"] == pytest.approx(expected)


def test_a_trial_that_lacks_a_seed_of_the_choice_wins_only_if_all_do():
    whole, short = arm("trial-1", 1, [0.7] * 4, [0.7] * 4), arm("trial-2", 2, [0.9] * 3, [0.9] * 3)
    assert choose_winner([DEFAULT, whole, short], "maximize", CHOICE_SEEDS) is whole
    assert choose_winner([DEFAULT, short], "maximize", []) is short
    assert choose_winner([DEFAULT, arm("trial-1", 1, [], []), short], "maximize", CHOICE_SEEDS) is short
    assert choose_winner([DEFAULT, *[arm(f"trial-{num}", num, [], []) for num in (1, 2)]], "maximize", [1]) is None


def test_without_an_effect_the_winner_beats_the_recipe_in_one_of_forty_sweeps_and_gains_nothing():
    """4,000 sweeps of three equal trials: a run shifts val and test alike, and each has its own noise of images."""
    rng, num = np.random.default_rng(3), 4000
    seeds, choice = range(1000, 1005), range(2000, 2005)
    shifts = rng.normal(0.8, 0.006, (num, 4, 10))
    val, test = (shifts + rng.normal(0, 0.005, shifts.shape) for _ in range(2))
    beats, gains = 0, []
    for values in zip(val, test, strict=True):
        arms = [
            ConfirmedArm(
                name=f"trial-{index}" if index else "default",
                number=index,
                overrides=[],
                val=dict(zip((*seeds, *choice), mine, strict=True)),
                test=dict(zip((*seeds, *choice), other, strict=True)),
                failures={},
            )
            for index, (mine, other) in enumerate(zip(*(each.tolist() for each in values), strict=True))
        ]
        found = summarize_confirmation(arms, "val/accuracy", "maximize", seeds, choice)
        beats += found["verdict"] == "beats here"
        gains.append(found["test"]["mean"])
    assert beats / num <= 0.025 + 0.005  # Two standard errors.
    assert abs(np.mean(gains)) <= 3 * np.std(gains) / num**0.5


@pytest.mark.parametrize(("top", "seeds", "num_runs"), [(3, 5, 25), (2, 2, 8), (1, 2, 4), (0, 5, 0)])
def test_the_cost_that_is_announced_is_that_of_choice_and_comparison(top: int, seeds: int, num_runs: int) -> None:
    assert ConfirmSettings(top=top, seeds=seeds).num_runs == num_runs


@pytest.mark.parametrize(
    ("changes", "objective", "words"),
    [
        ({}, "val/accuracy", "30 trials in all; then a confirmation: up to 25 whole"),
        ({"confirm": {"top": 1, "seeds": 2}, "seeds": 3}, "val/loss", "30 trials of 3 seeds in all"),
        ({"confirm": {"top": 1, "seeds": 2}}, "val/loss", "up to 4 whole trainings, of the winner"),
        ({"confirm": {"top": 0, "seeds": 5}}, "val/accuracy", "; no confirmation"),
        ({}, "cost/steps", "; no confirmation"),
    ],
)
def test_the_cost_of_the_confirmation_is_said_before_the_sweep(changes, objective, words):
    given = yaml.safe_load((CONF / "hydra" / "sweeper" / "sota_exp.yaml").read_text())
    given = {key: value for key, value in given.items() if key not in ("defaults", "_target_")} | changes
    assert words in format_sweep_plan(read_settings(given), [objective])


def test_no_confirmation_is_a_number_of_trials() -> None:
    with pytest.raises(ConfigError, match=r"confirm=null is not legal: .*hydra\.sweeper\.confirm\.top=0 none"):
        read_settings({"confirm": None})
