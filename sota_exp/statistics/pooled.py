"""Correctness of runs that tested different images, such as folds, as one matrix over all of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def compute_variance_of_repeats(values: NDArray[np.float64], places: NDArray[np.intp]) -> float | None:
    """The variance between runs on the same image; None where no image was tested twice.

    values, places: of every test of an image, [n]: its value, and which image it is, from 0.
    """
    times = np.bincount(places)
    if times.max() < 2:
        return None
    rest = values - (np.bincount(places, weights=values) / times)[places]
    return float((rest**2).sum()) / float((times - 1).sum())


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
