"""The interval of a proportion: against SciPy, at its ends, and its coverage."""

import numpy as np
import pytest
from scipy import stats

from sota_exp.statistics.proportion import wilson_interval


@pytest.mark.parametrize("num", [1, 6, 40, 1600])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_scipys_within_the_unit_interval_and_has_a_width(num: int, level: float) -> None:
    for right in {0, 1, num // 3, num - 1, num}:
        low, high = wilson_interval(right / num, num, level)
        expected = stats.binomtest(right, num).proportion_ci(level, method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert 0 <= low <= right / num <= high <= 1 and low < high


def test_all_right_and_all_wrong_are_not_certain() -> None:
    assert wilson_interval(1.0, 6) == (pytest.approx(0.6097, abs=1e-4), 1.0)
    assert wilson_interval(0.0, 6) == (0.0, pytest.approx(0.3903, abs=1e-4))


@pytest.mark.parametrize(("share", "num"), [(1.5, 6), (-0.1, 6), (0.5, 0)])
def test_what_is_no_share_is_refused(share: float, num: int) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        wilson_interval(share, num)


@pytest.mark.parametrize("num", [20, 100, 1000])
def test_it_covers_the_true_share(num: int) -> None:
    """Exactly, by summing over all numbers of right images; averaged over true shares, as coverage oscillates."""
    intervals = np.array([wilson_interval(right / num, num) for right in range(num + 1)])
    coverage = []
    for share in np.linspace(0.02, 0.98, 97):
        holds = (intervals[:, 0] <= share) & (share <= intervals[:, 1])
        coverage.append(stats.binom.pmf(np.arange(num + 1), num, share) @ holds)
    assert 0.945 <= np.mean(coverage) <= 0.97 and min(coverage) > 0.83
