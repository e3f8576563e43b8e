"""The effect that a plan shows with both noises: its limits, its estimate from runs, and the power that it promises."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import stdtrit

from sota_exp.statistics.planned_effect import (
    ASSUMED_NOISE,
    DifferenceNoise,
    EffectOverSeeds,
    add_noise_of_folds,
    add_noise_of_images,
    add_noise_of_splits,
    compute_images_quantile,
    estimate_noise,
    estimate_noise_of_folds,
)
from sota_exp.statistics.power import assume_difference_sd, find_detectable_difference, find_num_seeds
from sota_exp.statistics.two_sources import combine_crossed, combine_folds

NOISE = DifferenceNoise(seeds=1e-4, images=0.02, both=0.2)


def over_seeds(noise: DifferenceNoise, num_seeds: int, num_images: int, num_tests: int) -> EffectOverSeeds:
    sd = noise.compute_sd_of_seed(num_images)
    smallest = find_detectable_difference(sd, num_seeds, num_tests)
    return EffectOverSeeds(smallest=smallest, error=sd / math.sqrt(num_seeds), df=num_seeds - 1)


@pytest.mark.parametrize("noise", [NOISE, ASSUMED_NOISE])
def test_many_seeds_leave_the_images_and_many_images_leave_the_seeds(noise: DifferenceNoise) -> None:
    assert noise.compute_variance(1e12, 240) == pytest.approx(noise.images / 240)
    assert noise.compute_variance(8, 1e12) == pytest.approx(noise.seeds / 8, abs=1e-12)
    many = EffectOverSeeds(smallest=1e-9, error=1e-10, df=1e9)
    shown = add_noise_of_images(many, noise, 24_000, 12)
    assert shown == pytest.approx(compute_images_quantile(12) * math.sqrt(noise.images / 24_000), rel=1e-3)
    for num_tests in (1, 12):
        few = over_seeds(noise, 20, 240, num_tests)
        assert add_noise_of_images(few, noise, 10**15, num_tests) == pytest.approx(few.smallest, rel=0.02)


def test_folds_test_an_image_less_often_than_all_seeds() -> None:
    whole, folds = NOISE.compute_variance(10, 240), NOISE.compute_variance(10, 240, tests_per_image=2)
    assert folds - whole == pytest.approx(0.2 / 240 * (1 / 2 - 1 / 10))
    # As many runs on a tenth of the images, which is what a holdout tests, vary more.
    assert folds < NOISE.compute_variance(10, 24)


def test_the_assumption_is_the_rule_of_a_fifth_of_the_images() -> None:
    for num in (24, 1000):
        assert ASSUMED_NOISE.compute_sd_of_seed(num) == pytest.approx(assume_difference_sd(num))
    # A person with 24 test images: a point needs hundreds of seeds on these, and no number of seeds for others.
    assert (find_num_seeds(0.01, assume_difference_sd(24), 12) or 5000) > 800
    assert (add_noise_of_images(over_seeds(ASSUMED_NOISE, 800, 24, 12), ASSUMED_NOISE, 24, 12) or 0) > 0.07


@pytest.mark.parametrize("num_seeds", [5, 6, 30])
def test_what_shows_nothing_on_these_images_shows_nothing_on_others(num_seeds: int) -> None:
    here = over_seeds(NOISE, num_seeds, 100, 3)
    found = add_noise_of_images(here, replace(NOISE, images=0.03), 100, 3)
    assert (found is None) == (here.smallest is None) == (num_seeds < 6)
    assert found is None or found >= (here.smallest or 1)


def draw(rng: np.random.Generator, noise: DifferenceNoise, num_seeds: int, num_images: int) -> np.ndarray:
    parts = [rng.normal(0, math.sqrt(each), shape) for each, shape in (
        (noise.seeds, (num_seeds, 1)), (noise.images, (1, num_images)), (noise.both, (num_seeds, num_images)),
    )]  # fmt: skip
    return parts[0] + parts[1] + parts[2]


def test_the_variances_are_found_again_in_what_was_drawn_from_them() -> None:
    rng, true = np.random.default_rng(0), DifferenceNoise(seeds=0.004, images=0.03, both=0.2)
    found = [estimate_noise(draw(rng, true, 8, 200)) for _ in range(300)]
    for name, tolerance in (("seeds", 0.08), ("images", 0.03), ("both", 0.01)):
        assert np.mean([vars(each)[name] for each in found]) == pytest.approx(vars(true)[name], rel=tolerance)


@pytest.mark.parametrize("shape", [(1, 20), (5, 1), (5,)])
def test_one_seed_or_one_image_has_no_estimate(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least two seeds and two images"):
        estimate_noise(np.zeros(shape))


@pytest.mark.parametrize(
    ("repeats", "num_images", "of_runs"), [(2, 240, 0), (4, 120, 0), (2, 1000, 0), (2, 240, 0.1), (2, 1000, 0.04)]
)
def test_folds_show_the_effect_that_the_plan_names(repeats: int, num_images: int, of_runs: float) -> None:
    rng, num_studies, images, num_runs = np.random.default_rng(5), 400, 0.01, 5 * repeats
    noise = DifferenceNoise(seeds=of_runs**2, images=images, both=0.4)
    sd = math.sqrt(noise.seeds + (noise.both + images) / (num_images / 5))
    smallest = find_detectable_difference(sd, num_runs, 1)
    over_runs = EffectOverSeeds(smallest=smallest, error=sd / math.sqrt(num_runs), df=num_runs - 1)
    effect = add_noise_of_folds(over_runs, noise, num_runs, num_images, 5, 1)
    assert effect is not None
    num_shown = 0
    for _ in range(num_studies):
        before = rng.uniform(0.3, 0.5, num_images)
        after = before + effect + rng.normal(0, math.sqrt(images), num_images)
        tested = [fold for _ in range(repeats) for fold in np.array_split(rng.permutation(num_images), 5)]
        gains = [after[fold] + rng.normal(0, of_runs) for fold in tested]
        rows = [
            (rng.random(len(fold)) < gain) * 1.0 - (rng.random(len(fold)) < before[fold])
            for fold, gain in zip(tested, gains, strict=True)
        ]
        found = combine_folds(rows, tested).find_interval()
        num_shown += found is not None and found.low > 0
    assert num_shown / num_studies == pytest.approx(0.8, abs=0.07)


def test_the_variances_of_folds_are_those_they_were_drawn_with() -> None:
    rng, found = np.random.default_rng(4), []
    for _ in range(200):
        of_image, rows, images = rng.normal(0, 0.3, 200), [], []
        for _ in range(3):
            for tested in np.array_split(rng.permutation(200), 5):
                rows.append(of_image[tested] + rng.normal(0, 0.1) + rng.normal(0, 0.4, len(tested)))
                images.append(tested)
        noise = estimate_noise_of_folds(rows, images)
        assert noise is not None
        found.append((noise.seeds, noise.images, noise.both))
    assert np.mean(found, axis=0) == pytest.approx([0.01, 0.09, 0.16], rel=0.06)
    assert estimate_noise_of_folds(rows[:5], images[:5]) is None  # no image is tested twice


@pytest.mark.parametrize(("num_runs", "test_to_train"), [(5, 0.25), (10, 0.25), (1000, 0.28)])
def test_splits_of_a_metric_without_images_leave_a_part_however_many_they_are(
    num_runs: int, test_to_train: float
) -> None:
    """Over seeds alone the effect is that of σ / √J; with Nadeau and Bengio's variance that of σ √(1 / J + ratio)."""
    found = add_noise_of_splits(0.1 / math.sqrt(num_runs), num_runs, test_to_train)
    assert found == pytest.approx(0.1 * math.sqrt(1 / num_runs + test_to_train))
    assert add_noise_of_splits(None, num_runs, test_to_train) is None


@pytest.mark.parametrize(("num_seeds", "num_images"), [(8, 24), (8, 240), (20, 1000), (12, 5000)])
def test_four_of_five_studies_show_the_effect_that_the_plan_names(num_seeds: int, num_images: int) -> None:
    """By Student's t on the sum of both variances, each estimated."""
    rng, num_studies = np.random.default_rng(1), 4000
    sd, of_images = NOISE.compute_sd_of_seed(num_images), NOISE.images / num_images
    effect = add_noise_of_images(over_seeds(NOISE, num_seeds, num_images, 1), NOISE, num_images, 1)
    assert effect is not None
    seeds = rng.normal(0, sd, (num_studies, num_seeds))
    means = effect + seeds.mean(1) + rng.normal(0, math.sqrt(of_images), num_studies)
    runs, images = seeds.var(1, ddof=1) / num_seeds, of_images * rng.chisquare(num_images - 1, num_studies)
    images /= num_images - 1
    df = (runs + images) ** 2 / (runs**2 / (num_seeds - 1) + images**2 / (num_images - 1))
    is_shown = means > stdtrit(np.maximum(df, num_seeds - 1), 0.975) * np.sqrt(runs + images)
    assert is_shown.mean() == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(("num_seeds", "num_images"), [(8, 48), (12, 240), (20, 24)])
def test_the_interval_of_studies_shows_the_planned_effect_as_often(num_seeds: int, num_images: int) -> None:
    """Of right and wrong answers, by `combine_crossed`, whose interval a study states for new runs on new images."""
    rng, num_studies, images = np.random.default_rng(2), 500, 0.01
    noise = DifferenceNoise(seeds=0.0, images=images, both=0.46)
    effect = add_noise_of_images(over_seeds(noise, num_seeds, num_images, 1), noise, num_images, 1)
    assert effect is not None
    is_shown = 0
    for _ in range(num_studies):
        before = rng.uniform(0.3, 0.5, num_images)
        after = before + effect + rng.normal(0, math.sqrt(images), num_images)
        right = [rng.random((num_seeds, num_images)) < each for each in (after, before)]
        found = combine_crossed(right[0].astype(float) - right[1]).find_interval()
        is_shown += found is not None and found.low > 0
    assert is_shown / num_studies == pytest.approx(0.8, abs=0.07)
