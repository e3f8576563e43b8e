"""Formats of metrics: the ends of a spread are possible values."""

import pytest

from sota_exp.statistics.units import PLAIN_FORMAT, SHARE_FORMAT, SIGNED_FORMAT, get_metric_format, is_share_of_images


@pytest.mark.parametrize(
    ("metric", "unit", "is_share"),
    [
        *(
            (name, SHARE_FORMAT, True)
            for name in ("accuracy", "val/accuracy", "val_raw/top5_accuracy", "test/accuracy")
        ),
        *((name, SHARE_FORMAT, False) for name in ("test/ece", "val/macro_f1", "test/balanced_accuracy")),
        ("train/loss", PLAIN_FORMAT, False),
        # Metrics of one's own: nobody knows of how many images, or whether in per cent.
        *(
            (name, SIGNED_FORMAT, False)
            for name in ("test/worst_group_accuracy", "val/weighted_accuracy", "test/my_ece")
        ),
    ],
)
def test_only_known_metrics_are_shares(metric: str, unit: object, is_share: bool) -> None:
    assert (get_metric_format(metric), is_share_of_images(metric)) == (unit, is_share)


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
