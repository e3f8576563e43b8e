"""Correctness of runs that tested different images, such as folds, as one matrix over all of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sota_exp.statistics.groups import Groups


def compute_variance_of_repeats(
    rows: Sequence[NDArray[np.float64]], numbers: Sequence[ArrayLike], groups: Sequence[Groups]
) -> float | None:
    """The variance of an image between the runs that tested it; None where none was tested twice.

    rows, numbers: per run, of its images: values, float [n], and the numbers of their groups, int [n], which are those
    of the images where each is one of its own. groups: per run, read from these numbers. Of groups the variance is such
    that their sums vary as they do.
    """
    sums = np.concatenate([found.sum(row) for row, found in zip(rows, groups, strict=True)])
    _, places = np.unique(np.concatenate([np.unique(each) for each in numbers]), return_inverse=True)
    times = np.bincount(places)
    if times.max() < 2:
        return None
    rest = sums - (np.bincount(places, weights=sums) / times)[places]
    num_images = sum(len(row) for row in rows)
    return float((rest**2).sum()) / float((times - 1).sum()) * len(sums) / num_images


def pool_groups(images: Sequence[ArrayLike], groups: Sequence[ArrayLike]) -> NDArray[np.int64] | None:
    """The number of the group of every image that runs tested, by ascending number of the image, int64 [N].

    None: each is one of its own.
    images, groups: per run the numbers of its images and of their groups, int [n].
    """
    _, first = np.unique(np.concatenate([np.asarray(each) for each in images]), return_index=True)
    found: NDArray[np.int64] = np.concatenate([np.asarray(each) for each in groups])[first]
    return found if len(np.unique(found)) < len(found) else None


def pool_correctness(correct: Sequence[ArrayLike], images: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """The mean correctness of every image, in ascending order, as a matrix [S, N] of equal rows.

    correct, images: per run the correctness of its images, 0 or 1 [n], and their numbers, int [n]. S: the least number
    of runs that scored an image, so that an interval over images takes none for surer than it is.

    Raises:
        ValueError: a run has another number of images than of answers, or there are no images.
    """
    answers, numbers = (np.concatenate([np.asarray(each) for each in found]) for found in (correct, images))
    if len(answers) != len(numbers) or not len(numbers):
        raise ValueError(f"{len(answers)} answers for {len(numbers)} images")
    _, places = np.unique(numbers, return_inverse=True)
    times = np.bincount(places)
    return np.tile(np.bincount(places, weights=answers) / times, (int(times.min()), 1))
