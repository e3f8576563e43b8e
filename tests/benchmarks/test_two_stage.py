"""Studies of two stages, simulated: at most one of twenty is wrong, with fewer runs and more power."""

import math

import numpy as np
import pytest

from benchmarks.anytime import ALPHA, COVERED_LAWS
from benchmarks.two_stage import FAMILIES, RULES, compare, compute_share_of_wrong_families

NUM_FAMILIES = 600

#: At most this share: 5 %, and two standard errors.
LIMIT = 0.05 + 2 * math.sqrt(0.05 * 0.95 / NUM_FAMILIES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("law", COVERED_LAWS)
@pytest.mark.parametrize("family", ["5 techniques", "12 techniques, 6 with effects"])
def test_at_most_one_family_of_twenty_is_wrong(rule: str, law: str, family: str) -> None:
    assert compute_share_of_wrong_families(COVERED_LAWS[law], FAMILIES[family], RULES[rule], NUM_FAMILIES) <= LIMIT


def test_two_stages_take_half_of_the_runs_and_show_more() -> None:
    (runs, shown), (fewer, more) = compare(np.array([1.0] * 3 + [0.0] * 9), {8: ALPHA}, 400)
    assert runs == 104 and fewer < 0.7 * runs and more > shown + 0.05
