"""The smallest effect that a plan shows where both trainings and test images are drawn anew.

The difference of two arms at seed s on test image i is D = μ + a + b + e: a of the seed, b of the image, e of both. Its
mean over S seeds, each of which tests the same N images, has the variance var a / S + var b / N + var e / (S N). More
seeds leave var b / N, more images leave var a / S.
Source: crossed random effects, as in Searle, Casella and McCulloch 1992, "Variance Components", chapter 4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from sota_exp.statistics.groups import Groups
from sota_exp.statistics.pooled import compute_variance_of_repeats
from sota_exp.statistics.power import DEFAULT_POWER, assume_difference_sd


@dataclass(frozen=True, kw_only=True)
class DifferenceNoise:
    """Variances of a difference of correctness: of the seed, of the image, and of both (training noise per image).

    df_images: degrees of freedom of that of the images; None: their number less 1.
    """

    seeds: float
    images: float
    both: float
    df_images: float | None = None

    def compute_variance(self, num_seeds: float, num_images: float, tests_per_image: float | None = None) -> float:
        """Of the mean difference. tests_per_image: seeds that tested an image, fewer than `num_seeds` with folds."""
        tests = num_seeds if tests_per_image is None else tests_per_image
        return self.seeds / num_seeds + self.images / num_images + self.both / (tests * num_images)

    def compute_sd_of_seed(self, num_images: float) -> float:
        """The standard deviation over seeds of the difference on the same N images."""
        return math.sqrt(self.seeds + self.both / num_images)


#: Before any run. both: the rule of `assume_difference_sd`, a fifth of the images change sides between two short
#: trainings. images: how often an image is classified rightly differs by 10 points (√0.01) between the two methods, as
#: for an effect of 10 points on half of the images. Two weak techniques (label smoothing, EMA) in eleven studies of 240
#: photographs of CIFAR-10 had 0 to 0.009, and 5 to 19 % of the images changed sides.
ASSUMED_NOISE = DifferenceNoise(seeds=0.0, images=0.01, both=assume_difference_sd(1) ** 2)


def estimate_noise(differences: ArrayLike, groups: ArrayLike | None = None) -> DifferenceNoise | None:
    """The three variances by the analysis of variance; one that would be negative is 0. None: all images are one group.

    differences: of correctness per seed and image, float [S, N], S ≥ 2, N ≥ 2. groups: the numbers of the images'
    groups, int [N]; None: each is one of its own. With groups the variances of images are those that images drawn one
    by one would need to make the mean vary as it does.

    Raises:
        ValueError: fewer than two seeds or images.
    """
    found = np.asarray(differences, np.float64)
    if found.ndim != 2 or min(found.shape) < 2:
        raise ValueError(f"differences of shape {found.shape}: at least two seeds and two images are needed")
    (num_seeds, num_images), drawn = found.shape, Groups.read(groups, found.shape[1])
    of_seeds, of_images = found.mean(1), found.mean(0)
    rest = found - of_seeds[:, None] - of_images + found.mean()
    if drawn.is_one:
        return None
    both = drawn.sum_squares(rest) / (num_seeds - 1) / num_images
    images = drawn.sum_squares(of_images - found.mean()) / num_images
    return DifferenceNoise(
        seeds=max(0.0, float(of_seeds.var(ddof=1)) - both / num_images),
        images=max(0.0, images - both / num_seeds),
        both=both,
        df_images=None if groups is None else drawn.df,
    )


def estimate_noise_of_folds(differences: Sequence[ArrayLike], groups: Sequence[ArrayLike]) -> DifferenceNoise | None:
    """The three variances where runs tested different images; None where no image was tested twice.

    differences, groups: of each of at least two runs, those of its images, float [n], and the numbers of their groups,
    int [n], which are those of the images where each is one of its own.
    """
    rows, numbers = [np.asarray(row, np.float64) for row in differences], [np.asarray(each) for each in groups]
    found = [Groups.read(each, len(row)) for row, each in zip(rows, numbers, strict=True)]
    drawn, mean = Groups.read(np.concatenate(numbers), sum(map(len, rows))), np.concatenate(rows).mean()
    between = compute_variance_of_repeats([row - mean for row in rows], numbers, found)
    if between is None or len(drawn.shares) < 2:
        return None
    within = [each.sum_squares(row - row.mean()) / len(row) ** 2 for row, each in zip(rows, found, strict=True)]
    seeds = max(0.0, float(np.var([row.mean() for row in rows], ddof=1)) - float(np.mean(within)))
    # Of the mean over all T tests; a group that R runs tested has the weight R / T an image.
    times = np.bincount(np.unique(np.concatenate([np.unique(each) for each in numbers]), return_inverse=True)[1])
    of_mean = drawn.sum_squares(np.concatenate(rows) - mean) / len(drawn.places) - between
    images = max(0.0, of_mean) / float(drawn.shares @ times)
    return DifferenceNoise(seeds=seeds, images=images, both=max(0.0, between - seeds))


def compute_images_quantile(num_tests: int, level: float = 0.95) -> float:
    """How many standard errors of the images an effect must have: of the Šidák level of all tests, and of the power."""
    return float(ndtri((1 + level ** (1 / num_tests)) / 2) + ndtri(DEFAULT_POWER))


@dataclass(frozen=True, kw_only=True)
class EffectOverSeeds:
    """What seeds show on the same test images.

    smallest: the smallest effect shown with `DEFAULT_POWER`; None: none. error, df: standard error of an effect over
    seeds, and its degrees of freedom.
    """

    smallest: float | None
    error: float
    df: float


def add_noise_of_images(
    over_seeds: EffectOverSeeds, noise: DifferenceNoise, num_images: int, num_tests: int, level: float = 0.95
) -> float | None:
    """The smallest effect shown for other images like these, in new training runs; None: none.

    By Student's t on the sum of both variances, at the Šidák level of all tests, with Satterthwaite's degrees of
    freedom (1946, Biometrics Bulletin 2), at least those of seeds or images. An interval adds two images (Bonett and
    Price 2012), so that of N images the effect must be (N + 2) / N times as large.
    """
    of_seeds, of_images = over_seeds.error**2, noise.images / num_images
    df_images = noise.df_images or max(1, num_images - 1)
    spread = of_seeds**2 / over_seeds.df + of_images**2 / df_images
    least = min(over_seeds.df, df_images)
    df = max(least, (of_seeds + of_images) ** 2 / spread) if spread else least
    return _find_shown(over_seeds, of_images, df, df_images + 1, num_tests, level)


def add_noise_of_folds(
    over_seeds: EffectOverSeeds,
    noise: DifferenceNoise,
    num_runs: int,
    num_images: int,
    runs_per_repeat: int,
    num_tests: int,
    level: float = 0.95,
) -> float | None:
    """The same where each run tests other images, such as folds, or random splits.

    The noise of the images of one repeat is in that of the runs, each of which tests others. `combine_folds` takes
    what runs differ in beyond their images as at least zero, so that it is too large on average.
    num_images: of all runs. runs_per_repeat: that together test each image once; 1 where it is tested by chance.
    """
    mean, sd = noise.seeds / num_runs, over_seeds.error**2 * math.sqrt(2 / over_seeds.df)
    z = mean / sd
    excess = sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) - mean * float(ndtr(-z))
    of_images = noise.images * max(0.0, 1 - runs_per_repeat / num_runs) / num_images + excess
    return _find_shown(over_seeds, of_images, over_seeds.df, num_images, num_tests, level)


def _find_shown(
    over_seeds: EffectOverSeeds, added: float, df: float, num_drawn: float, num_tests: int, level: float
) -> float | None:
    """The smallest effect shown. added: variance of the mean beside that over seeds. df: of the sum of both.

    num_drawn: images, or their groups.
    """
    if over_seeds.smallest is None:
        return None
    quantiles = float(stdtrit(df, (1 + level ** (1 / num_tests)) / 2) + stdtrit(df, DEFAULT_POWER))
    error = math.sqrt(over_seeds.error**2 + added)
    return max(over_seeds.smallest, quantiles * error * (num_drawn + 2) / num_drawn)


def add_noise_of_splits(over_seeds: float | None, num_runs: int, test_to_train: float) -> float | None:
    """The same of a metric without a value per image, where each run tests other images and trains on the rest.

    test_to_train: number of test images of a run / number of its training images. None stays None.
    Source: Nadeau and Bengio 2003, Machine Learning 52: the variance of a mean of J runs is S² (1 / J + test / train).
    """
    return None if over_seeds is None else over_seeds * math.sqrt(1 + num_runs * test_to_train)
