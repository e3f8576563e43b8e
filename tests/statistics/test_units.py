"""Formats of metrics: the ends of a spread are possible values."""

import pytest

from sota_exp.statistics.units import get_metric_format


@pytest.mark.parametrize(
    ("metric", "mean", "sd", "ends"),
    [
        ("test/accuracy", 0.98, 0.05, (0.93, 1.0)),
        ("test/accuracy", 0.02, 0.05, (0.0, 0.07)),
        ("test/accuracy", 0.5, None, (0.5, 0.5)),
        ("test/ece", 0.02, 0.05, (0.0, 0.07)),
        ("test/loss", 1.2, 0.5, (0.7, 1.7)),
    ],
)
def test_a_spread_does_not_leave_the_possible_values(
    metric: str, mean: float, sd: float | None, ends: tuple[float, float]
) -> None:
    assert get_metric_format(metric).spread(mean, sd) == pytest.approx(ends)
