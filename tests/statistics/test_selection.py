"""What stage 1 of a study of two stages follows: by p-values of main effects alone, as often as the plan says."""

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.anytime import COVERED_LAWS, draw_normal
from benchmarks.two_stage import draw_runs, follow
from sota_exp.statistics.designs import build_plackett_burman_design
from sota_exp.statistics.effects import Effect, compute_effects
from sota_exp.statistics.selection import FOLLOW_LEVEL, compute_share_followed, select_effects


def effect(*factors: str, p_value: float, estimate: float = 1.0, has_noise: bool = True) -> Effect:
    interval = (estimate - 1, estimate + 1) if has_noise else None
    fixed: dict[str, Any] = {"p_adjusted": 1.0, "standard_error": 1.0, "df": 3, "aliases": ()}
    return Effect(factors=factors, estimate=estimate, interval=interval, p_value=p_value, **fixed)


def test_main_effects_with_small_p_values_of_their_own_are_followed() -> None:
    found = [effect("a", p_value=FOLLOW_LEVEL), effect("b", p_value=0.21), effect("a", "b", p_value=0.001)]
    without_noise = [
        effect("c", p_value=1.0, has_noise=False),
        effect("d", p_value=1.0, estimate=-1e-16, has_noise=False),
    ]
    assert select_effects([*found, *without_noise]) == ("a", "c")
    assert select_effects([]) == ()


@pytest.mark.parametrize("num", [5, 12])
@pytest.mark.parametrize(("size", "share"), [(0.0, 0.2), (0.5, 0.65), (1.0, 0.98), (2.0, 1.0)])
def test_a_technique_is_followed_as_often_as_the_plan_says(num: int, size: float, share: float) -> None:
    design, num_studies = build_plackett_burman_design(num), 2000
    planned = compute_share_followed(size, len(design), num)
    cells = draw_runs(draw_normal, num_studies, np.array([size] + [0.0] * (num - 1)), 8).cells
    error = 2.5 * math.sqrt(planned * (1 - planned) / num_studies) + 0.001
    assert follow(cells, num)[:, 0].mean() == pytest.approx(planned, abs=error)
    if num == 12:
        assert planned == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("law", COVERED_LAWS)
def test_the_simulation_follows_what_a_study_would(law: str) -> None:
    names = [f"t{index}" for index in range(5)]
    cells = draw_runs(COVERED_LAWS[law], 30, np.array([1.0, 0, 0, 0, 0]), 8).cells
    found = [select_effects(compute_effects(names, build_plackett_burman_design(5), each[:, None])) for each in cells]
    assert found == [tuple(np.array(names)[kept]) for kept in follow(cells, 5)]


def test_cells_that_leave_nothing_for_the_noise_have_no_share() -> None:
    with pytest.raises(ValueError, match="8 cells for 7 effects leave nothing to estimate noise from"):
        compute_share_followed(1.0, 8, 7)
