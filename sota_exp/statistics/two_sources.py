"""One difference, two sources of noise: the training runs, and the images on which they are tested.

D[s, i] = μ + run[s] + image[i] + rest[s, i]: runs and images are crossed random factors, as the runs of every seed test
the same images. The mean over S seeds and N images varies by

- var(run) / S + var(rest) / SN in new training runs on these images,
- var(image) / N + var(rest) / SN where these trained networks get new images,
- var(run) / S + var(image) / N + var(rest) / SN in new training runs on new images: the first two together, less
  var(rest) / SN, which both contain. This is the one that answers "does it help on my data?".

The first is estimated from the means of the runs, the second from the means of the images. The degrees of freedom of
the third are Satterthwaite's, at least the smaller of the first two. Where images vary together, as those of one
patient do, their groups take the place of the images, by the sums of each.
Source: Searle, Casella and McCulloch 1992, "Variance Components", chapter 4; Satterthwaite 1946, Biometrics Bull. 2.

Runs that tested different images, each trained on the others (cross-validation, a split per seed), vary by the images
that were tested, each with its mean over the runs that tested it, and by what runs differ in beyond the images that
they tested: other training images, and chance. `python -m benchmarks.folds` shows how often that interval holds.
Where a metric has no value per image, only the runs tell. They share training images, so the variance of their mean is
S² (1 / J + test / train) for J runs, with S² their variance; in most cases that is too large.
Source: Nadeau and Bengio 2003, Machine Learning 52; for repeated folds Bouckaert and Frank 2004, PAKDD.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from sota_exp.statistics.groups import Groups
from sota_exp.statistics.paired import Estimate, adjust_for_few_images, has_spread
from sota_exp.statistics.pooled import compute_variance_of_repeats


@dataclass(frozen=True, kw_only=True)
class MeanOfTwoSources:
    """The mean difference, and its variance in new training runs on new images.

    middle: of the interval; close to the mean. df: degrees of freedom of the variance. of_images, df_images: the part
    of new images for these trained networks. lasting: what of it further seeds do not remove; 0 where that is not
    known, as of folds of one repeat. num: of runs. of_runs, df_runs: the part of new training runs on these images,
    where it is known: few runs with many images have more degrees of freedom together than the runs alone, and the
    interval for both is never the narrower one.
    """

    mean: float
    middle: float
    variance: float
    df: float
    of_images: float
    df_images: float
    lasting: float
    num: int
    of_runs: float = 0.0
    df_runs: float = math.inf

    @property
    def _errors(self) -> list[tuple[float, float]]:
        """Degrees of freedom and standard error: of both sources, and of the runs alone where that is known."""
        parts = ((self.df, self.variance), (self.df_runs, self.of_runs))
        return [(df, math.sqrt(variance)) for df, variance in parts if variance > 0]

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference in new training runs on new images."""
        if self.variance <= 0:
            return 1.0
        return max(2 * float(stdtr(df, -abs(self.middle) / error)) for df, error in self._errors)

    def find_interval(self, level: float = 0.95, largest: float = math.inf) -> Estimate | None:
        """The interval for new training runs on new images, cut at ± `largest`; None without noise to estimate it."""
        if self.variance <= 0:
            return None
        reach = max(float(stdtrit(df, (1 + level) / 2)) * error for df, error in self._errors)
        low, high = max(-largest, self.middle - reach), min(largest, self.middle + reach)
        return Estimate(mean=self.mean, low=low, high=high, n=self.num)

    def find_detectable(self, level: float, power: float) -> float | None:
        """The smallest difference that such runs and images show with this power; None without noise to estimate it."""
        if self.variance <= 0:
            return None
        reach = float(stdtrit(self.df, (1 + level) / 2)) + float(stdtrit(self.df, power))
        return reach * math.sqrt(self.variance)


def combine_crossed(
    differences: ArrayLike, of_runs: float | None = None, df_runs: float = 0, groups: ArrayLike | None = None
) -> MeanOfTwoSources:
    """The mean of differences of runs that all tested the same images, float [S, N].

    of_runs, df_runs: the variance of the mean in new training runs and its degrees of freedom, where it is known better
    than by the means of the S rows, as in a design whose cells have one seed. groups: the numbers of the images'
    groups, int [N]; None: each is one of its own. Where all are one, the noise is unknown.

    Raises:
        ValueError: there is one row and `of_runs` is not known, there are no images, or not as many groups' numbers.
    """
    table = np.asarray(differences, np.float64)
    if table.ndim != 2 or not table.size or (of_runs is None and len(table) < 2):
        raise ValueError(f"differences of shape {table.shape}: expected [seeds, images] of at least two seeds")
    (num_seeds, num_images), mean = table.shape, float(table.mean())
    runs, images = table.mean(axis=1), table.mean(axis=0)
    if of_runs is None:
        of_runs, df_runs = float(runs.var(ddof=1)) / num_seeds, num_seeds - 1
    drawn = Groups.read(groups, num_images)
    middle, of_images = adjust_for_few_images(images, num_seeds, drawn)
    df_images, df_rest = drawn.df, max(1, num_seeds - 1) * drawn.df
    rest = table - runs[:, None] - images + mean
    of_rest = drawn.sum_squares(rest) / max(1, num_seeds - 1) / num_seeds / num_images**2
    variance = 0.0 if drawn.is_one else max(of_runs + of_images - of_rest, of_runs, of_images)
    noise = of_runs**2 / df_runs + of_images**2 / df_images + of_rest**2 / df_rest
    df = max(min(df_runs, df_images), variance**2 / noise if noise else 0.0)
    return MeanOfTwoSources(
        mean=mean,
        middle=middle,
        variance=variance,
        df=df,
        of_images=of_images,
        df_images=df_images,
        lasting=max(0.0, of_images - of_rest),
        num=num_seeds,
        of_runs=0.0 if drawn.is_one else of_runs,
        df_runs=df_runs,
    )


def combine_folds(differences: Sequence[ArrayLike], groups: Sequence[ArrayLike]) -> MeanOfTwoSources:
    """The mean of differences of runs that tested different images, each trained on the others.

    differences, groups: of each of at least two runs, those of its images, float [n], and the numbers of their groups,
    int [n], which are those of the images where each is one of its own.

    Raises:
        ValueError: there is one run, a run without images, or one with another number of images than of differences.
    """
    rows, numbers = ([np.asarray(each) for each in found] for found in (differences, groups))
    sizes = [len(row) for row in rows]
    if len(rows) < 2 or not all(sizes) or sizes != [len(each) for each in numbers]:
        raise ValueError(f"runs of {sizes} differences on {[len(each) for each in numbers]} images: two are needed")
    runs = np.array([row.mean() for row in rows], np.float64)
    mean = float(runs.mean())
    # A test of an image has the weight w in the mean of the runs, 1 / N in all where folds test N images equally often.
    weights = np.repeat([1 / (len(runs) * size) for size in sizes], sizes)
    drawn = Groups(np.unique(np.concatenate(numbers), return_inverse=True)[1], weights)
    of_images = drawn.sum_squares(weights * (np.concatenate(rows) - mean))
    in_runs = [Groups.read(each, size) for each, size in zip(numbers, sizes, strict=True)]
    alone = [found.sum_squares(row - row.mean()) / len(row) ** 2 for found, row in zip(in_runs, rows, strict=True)]
    within, between = float(np.mean(alone)) / len(runs), float(runs.var(ddof=1)) / len(runs)
    variance = 0.0 if drawn.is_one else of_images + max(0.0, between - within)
    df_images, df_within = drawn.df, sum(found.df for found in in_runs)
    noise = of_images**2 / df_images + between**2 / (len(runs) - 1) + within**2 / df_within
    df = max(min(df_images, len(runs) - 1), variance**2 / noise if noise else 0.0)
    rest = compute_variance_of_repeats([row - mean for row in rows], numbers, in_runs)
    return MeanOfTwoSources(
        mean=mean,
        middle=mean,
        variance=variance,
        df=df,
        of_images=of_images,
        df_images=df_images,
        lasting=0.0 if rest is None else max(0.0, of_images - rest * float((weights**2).sum())),
        num=len(runs),
    )


def combine_splits(differences: ArrayLike, test_to_train: float) -> MeanOfTwoSources:
    """The mean of differences of runs that tested different images, float [J], J ≥ 2, one per run.

    test_to_train: number of test images of a run / number of its training images.

    Raises:
        ValueError: there is one run.
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"differences of shape {values.shape}: expected one of each of at least two runs")
    mean = float(values.mean())
    spread = float(values.var(ddof=1)) if has_spread(values) else 0.0
    variance = spread * (1 / len(values) + test_to_train)
    return MeanOfTwoSources(
        mean=mean,
        middle=mean,
        variance=variance,
        df=len(values) - 1.0,
        of_images=spread * test_to_train,
        df_images=len(values) - 1.0,
        lasting=spread * test_to_train,
        num=len(values),
    )


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of p-values [n] for all of them together: the probability of one wrong rejection.

    Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    found: NDArray[np.float64] = np.asarray(p_values, np.float64)
    order = found.argsort(kind="stable")
    steps = found[order] * np.arange(len(found), 0, -1)
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(found) else steps
    return [float(value) for value in adjusted]
