"""Two sources of noise in one interval: limits, agreement with formulas, coverage."""

import numpy as np
import pytest
from scipy import stats

from sota_exp.statistics.paired import bonett_price_interval, paired_t_interval
from sota_exp.statistics.two_sources import adjust_p_values, combine_crossed, combine_folds, combine_splits

RNG = np.random.default_rng(0)


def draw(rng, num_seeds, num_images, of_runs, of_images, of_rest, mean=0.0):
    return (
        mean
        + of_runs * rng.standard_normal((num_seeds, 1))
        + of_images * rng.standard_normal((1, num_images))
        + of_rest * rng.standard_normal((num_seeds, num_images))
    )


@pytest.mark.parametrize("parts", [(0.02, 0.3, 0.4), (0.1, 0.0, 0.4), (0.0, 0.5, 0.3), (0.05, 0.2, 0.1)])
def test_the_variance_is_that_of_the_mean_over_new_runs_and_new_images(parts):
    rng, shape = np.random.default_rng(1), (8, 400)
    found = np.mean([combine_crossed(draw(rng, *shape, *parts)).variance for _ in range(400)])
    # Bonett and Price add two images, whose squares are 1 / S each.
    true = parts[0] ** 2 / 8 + parts[1] ** 2 / 400 + parts[2] ** 2 / 3200 + 2 / 8 / 402**2
    assert true * 0.97 < found < true * 1.12  # the maximum with each source's own variance makes it larger


def test_equal_runs_leave_the_noise_of_the_images():
    row = RNG.integers(-1, 2, 300).astype(float)
    found = combine_crossed(np.tile(row, (5, 1)))
    expected = bonett_price_interval(np.zeros((5, 300)), np.tile(row, (5, 1)))
    interval = found.find_interval(largest=1.0)
    wide = stats.t.ppf(0.975, found.df) / stats.norm.ppf(0.975)
    assert found.variance == found.lasting
    assert interval.high - interval.low == pytest.approx(wide * (expected.high - expected.low))


def test_equal_images_leave_the_noise_of_the_runs():
    column = RNG.standard_normal((6, 1))
    found = combine_crossed(np.tile(column, (1, 100_000)))
    expected = stats.t.interval(0.95, 5, column.mean(), stats.sem(column[:, 0]))
    interval = found.find_interval()
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("shape", [(2, 24), (3, 1000)])
def test_the_interval_for_both_is_never_narrower_than_that_for_these_images(shape, level):
    for _ in range(50):
        table = draw(RNG, *shape, 0.1, 0.3, 0.2)
        runs, both = paired_t_interval(np.zeros(shape[0]), table.mean(1), level), combine_crossed(table)
        found = both.find_interval(level)
        assert found.high - found.low >= (runs.high - runs.low) * (1 - 1e-12)
        assert (both.p_value <= 1 - level) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("shape", [(3, 24), (5, 240), (12, 1000)])
def test_neither_source_alone_has_a_smaller_variance(shape):
    for parts in [(0.0, 0.0, 1.0), (1.0, 0.0, 0.5), (0.0, 1.0, 0.5)]:
        table = draw(RNG, *shape, *parts)
        found = combine_crossed(table)
        assert found.variance >= table.mean(1).var(ddof=1) / shape[0] - 1e-15
        assert found.variance >= found.of_images and found.df >= shape[0] - 1


def test_a_known_variance_of_the_runs_takes_one_row():
    row = RNG.standard_normal((1, 50))
    found = combine_crossed(row, of_runs=0.25, df_runs=7)
    assert found.variance == pytest.approx(0.25 + found.of_images) and found.df >= 7


@pytest.mark.parametrize("shape", [(1, 5), (2, 0), (5,)])
def test_too_little_is_refused(shape):
    with pytest.raises(ValueError, match="at least two seeds"):
        combine_crossed(np.zeros(shape))


def draw_folds(rng, num, repeats, of_runs, of_images, of_rest):
    """Differences of five folds and their images, all tested once per repeat."""
    of_image, rows, images = of_images * rng.standard_normal(num), [], []
    for _ in range(repeats):
        for tested in np.array_split(rng.permutation(num), 5):
            rest = of_runs * rng.standard_normal() + of_rest * rng.standard_normal(len(tested))
            rows.append(of_image[tested] + rest)
            images.append(tested)
    return rows, images


@pytest.mark.parametrize("repeats", [1, 3])
def test_folds_vary_by_their_images_and_by_what_runs_differ_in_beyond_them(repeats):
    rows, images = draw_folds(RNG, 60, repeats, 0.4, 0.3, 0.2)
    found = combine_folds(rows, images)
    tested = np.full((repeats, 60), np.nan)
    for number, (row, image) in enumerate(zip(rows, images, strict=True)):
        tested[number // 5, image] = row
    runs, within = np.array([row.mean() for row in rows]), np.mean([row.var(ddof=1) / 12 for row in rows])
    of_images, excess = tested.mean(0).var(ddof=1) / 60, runs.var(ddof=1) - within
    assert found.mean == found.middle == pytest.approx(tested.mean()) and found.num == 5 * repeats
    assert found.of_images == pytest.approx(of_images)
    assert found.variance == pytest.approx(of_images + excess / (5 * repeats))
    assert found.df >= 5 * repeats - 1
    shuffled = RNG.permutation(5 * repeats)
    again = combine_folds([rows[each] for each in shuffled], [images[each] for each in shuffled])
    assert again.variance == pytest.approx(found.variance) and again.df == pytest.approx(found.df)


def test_further_seeds_leave_the_noise_of_images_and_remove_that_of_trainings_on_them():
    """All that varies between images was said to stay: at six seeds mostly noise of training, which more seeds lower."""
    rng, images, rest = np.random.default_rng(5), 0.1, 0.45
    for repeats, draw_one in [
        (6, lambda: combine_crossed(draw(rng, 6, 240, 0.0, images, rest))),
        (2, lambda: combine_folds(*draw_folds(rng, 240, 2, 0.0, images, rest))),
    ]:
        means = [draw_one() for _ in range(300)]
        assert np.mean([each.lasting for each in means]) < 1.7 * images**2 / 240  # at least 0, so that it is too large
        together = (images**2 + rest**2 / repeats) / 240
        assert np.mean([each.of_images for each in means]) == pytest.approx(together, rel=0.05)
    assert combine_folds(*draw_folds(rng, 240, 1, 0.0, images, rest)).lasting == 0  # one repeat does not tell


@pytest.mark.parametrize("parts", [(0.05, 0.3, 0.3), (0.0, 0.5, 0.0), (0.1, 0.0, 0.4)])
def test_the_interval_of_folds_contains_the_truth_of_new_runs_on_new_images(parts):
    rng, hits = np.random.default_rng(3), 0
    for _ in range(600):
        interval = combine_folds(*draw_folds(rng, 100, 2, *parts)).find_interval()
        hits += interval.low <= 0 <= interval.high
    assert 0.93 < hits / 600 < 0.995


def test_an_image_weighs_as_often_as_runs_tested_it():
    """Random splits test some images more often than others; the mean is that of the runs."""
    found = combine_folds([[1.0, 0.0], [1.0, 0.5], [1.0, 0.0]], [[7, 1], [7, 2], [7, 1]])
    assert found.mean == pytest.approx(np.mean([0.5, 0.75, 0.5]))
    weights = np.array([1 / 2, 1 / 3, 1 / 6])
    beside = weights * (np.array([1, 0, 0.5]) - found.mean)
    # Images that vary by 1 differ from their weighted mean by 1 − 2 w + Σ w².
    expected = beside**2 / (1 - 2 * weights + (weights**2).sum())
    assert found.of_images == pytest.approx(expected.sum())


@pytest.mark.parametrize(
    ("rows", "images"), [([[1.0]], [[0]]), ([[1.0], []], [[0], []]), ([[1.0], [0.0]], [[0], [1, 2]])]
)
def test_folds_without_images_or_others_are_refused(rows, images):
    with pytest.raises(ValueError, match="two are needed"):
        combine_folds(rows, images)


def test_the_splits_of_a_metric_without_images_are_corrected_as_nadeau_and_bengio_do():
    values = RNG.standard_normal(10) + 0.4
    found = combine_splits(values, 1 / 4)
    assert found.variance == pytest.approx(values.var(ddof=1) * (1 / 10 + 1 / 4))
    t = values.mean() / np.sqrt(found.variance)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 9))
    with pytest.raises(ValueError, match="at least two runs"):
        combine_splits([1.0], 1 / 4)


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.1])
def test_the_p_value_agrees_with_the_interval(mean):
    for num in range(40):
        found = combine_crossed(draw(np.random.default_rng(num), 5, 60, 0.02, 0.2, 0.3, mean))
        interval = found.find_interval(0.95)
        assert (found.p_value <= 0.05) == (not interval.low <= 0 <= interval.high)


def test_without_noise_there_is_neither_interval_nor_evidence():
    found = combine_splits([0.1, 0.1, 0.1], 0.25)
    assert combine_folds([[0.0, 0.0], [0.0]], [[0, 1], [2]]).find_interval() is None
    assert found.find_interval() is None and found.p_value == 1.0 and found.find_detectable(0.95, 0.8) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.01, 0.01], [0.02, 0.02]),
    ],
)
def test_holm(given, expected):
    assert adjust_p_values(given) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(3, 240), (5, 1000), (10, 60)])
def test_the_interval_covers_new_runs_on_new_images(shape):
    """The whole table, over kinds of noise: python -m benchmarks.two_sources."""
    rng, covered = np.random.default_rng(2), []
    for _ in range(500):
        interval = combine_crossed(draw(rng, *shape, 0.03, 0.3, 0.4, 0.1)).find_interval()
        covered.append(interval.low <= 0.1 <= interval.high)
    assert 0.925 < np.mean(covered) < 0.99
