"""Wrong families of looks at any time, simulated: at most one of twenty, where rules that promise less have more."""

import math

import numpy as np
import pytest

from benchmarks.anytime import (
    COVERED_LAWS,
    UNCOVERED_LAWS,
    compute_share_of_wrong_families,
    look_at_any_time,
    look_on_and_on,
)

NUM_FAMILIES = 600

#: At most this share: 5 %, and two standard errors.
LIMIT = 0.05 + 2 * math.sqrt(0.05 * 0.95 / NUM_FAMILIES)

FAMILIES = {"1 arm": np.zeros(1), "12 arms": np.zeros(12), "with effects": np.array([1.5] * 4 + [0.0] * 4)}


@pytest.mark.parametrize(
    "rule", ["any time", "any time, arms leave at p = 0.05 of their own", "any time, all arms go on"]
)
@pytest.mark.parametrize("law", COVERED_LAWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_at_most_one_family_of_twenty_is_ever_wrong(rule: str, law: str, family: str) -> None:
    assert compute_share_of_wrong_families(rule, COVERED_LAWS[law], FAMILIES[family], NUM_FAMILIES) <= LIMIT


def test_the_fixed_test_after_every_seed_has_more_wrong_families() -> None:
    rule, law = "fixed test after every seed from 6 to 12", COVERED_LAWS["normal"]
    assert compute_share_of_wrong_families(rule, law, np.zeros(3), NUM_FAMILIES) > LIMIT


def test_a_rule_for_false_discoveries_has_more_wrong_families_where_some_arms_have_effects() -> None:
    effects = np.array([3.0] * 8 + [0.0] * 4)
    assert compute_share_of_wrong_families("any time, e-BH", COVERED_LAWS["normal"], effects, NUM_FAMILIES) > LIMIT


@pytest.mark.parametrize(
    ("law", "share"), [("skewed", 0.04), ("skewed, 3 times the scatter", 0.14), ("lognormal, 3 times", 0.39)]
)
def test_the_stated_share_of_families_with_skewed_arms_is_wrong(law: str, share: float) -> None:
    """At most as `describe_anytime_error_rate` says of 13 arms and up to 60 seeds, and two standard errors."""
    found = compute_share_of_wrong_families("any time", UNCOVERED_LAWS[law], np.zeros(12), NUM_FAMILIES)
    assert found <= share + 2 * math.sqrt(share * (1 - share) / NUM_FAMILIES)


def test_a_decided_arm_gets_no_more_seeds_and_the_others_are_decided_as_early() -> None:
    """An arm that goes on has other evidence later, which can only move the decisions of the others."""
    differences = np.random.default_rng(0).normal(1.0, 1.0, (200, 40, 4))
    stopped, going_on = look_at_any_time(differences), look_on_and_on(differences)
    assert (stopped.min(1) == going_on.min(1)).all()
