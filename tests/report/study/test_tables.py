"""The tables of a study's page leave out numbers that nobody can use."""

from dataclasses import replace

import pytest

from sota_exp.report.study.study import ArmCost
from sota_exp.report.study.tables import format_points_per_hour
from tests.report.study.test_answer import MIXUP


@pytest.mark.parametrize(
    ("rate", "verdict", "told"),
    [
        (12.34, "helps", "+12.3"),
        (-12.34, "hurts here", "−12.3"),
        (12.34, "cannot be distinguished", "–"),
        (-55_642.0, "hurts", "–"),
        (None, "helps", "–"),
    ],
)
def test_points_per_hour_are_told_where_they_can_be_gained(rate: float | None, verdict: str, told: str) -> None:
    arm = replace(MIXUP, verdict=verdict, cost=ArmCost(points_per_hour=rate))
    assert format_points_per_hour(arm) == told
