"""The paired bootstrap over examples: counts by hand, its interval against theory, and the same twice."""

import numpy as np
import pytest

from sota_exp.study.examples import paired_bootstrap


def test_won_and_lost_by_hand() -> None:
    found = paired_bootstrap([1, 1, 0, 0, 0.5], [1, 0, 1, 1, 1])
    assert (found.won, found.lost) == (3, 1)
    assert found.difference == pytest.approx(0.3)


def test_its_interval_is_normal_theorys_on_many_examples() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((3, 5000)) < 0.7
    second = first ^ (rng.random((3, 5000)) < 0.1)
    one, other = first.mean(0), second.mean(0)
    found = paired_bootstrap(one, other)
    reach = 1.96 * (other - one).std() / np.sqrt(5000)
    assert found.high - found.difference == pytest.approx(reach, rel=0.08)
    assert found.difference - found.low == pytest.approx(reach, rel=0.08)
    assert paired_bootstrap(one, other) == found


def test_equal_correctness_has_no_spread() -> None:
    found = paired_bootstrap([1, 0, 1], [1, 0, 1])
    assert (found.low, found.difference, found.high, found.won, found.lost) == (0, 0, 0, 0, 0)


def test_it_covers_the_draw_of_images() -> None:
    rng, hits = np.random.default_rng(1), 0
    for index in range(300):
        change = rng.choice([-1, 0, 1], 400, p=[0.05, 0.87, 0.08])
        found = paired_bootstrap(np.zeros(400), change, seed=index)
        hits += found.low <= 0.03 <= found.high
    assert 0.91 <= hits / 300 <= 0.98


def test_unpaired_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="not paired"):
        paired_bootstrap([1, 0], [1, 0, 1])
