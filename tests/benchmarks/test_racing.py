"""The benchmark's estimator, against a machine that is half as fast in some rounds."""

import pytest

from benchmarks.racing import middle_round


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.9])
def test_the_middle_round_has_the_ratio_whatever_the_mood(ratio):
    moods = [1.0, 2.0, 2.0, 1.0, 2.0]
    noise = [1.0, 1.1, 0.9, 1.05, 0.95]
    rounds = {"ours": list(moods), "peer": [ratio * m * n for m, n in zip(moods, noise, strict=True)]}
    ours, peer = middle_round(rounds, "ours", "peer")
    assert peer / ours == pytest.approx(ratio) and ours == 1.0
