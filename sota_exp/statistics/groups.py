"""Images that vary together: those of one patient, scene or film. What was drawn are the groups, not their images.

The variance of a mean is the sum of squares of its groups' parts of it, each part less the mean. By chance alone such a
square is smaller than its share by 1 − 2 share + Σ share², where images of a group vary as one: it is divided by that.
Groups of one image each give the usual s² / N. Degrees of freedom are the effective number of groups less 1, so that
groups of unequal size count as fewer.
Source: Kish 1965, "Survey Sampling", section 8.2, of the effective number.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit


@dataclass(frozen=True)
class Groups:
    """places: which group each image belongs to, from 0, int64 [N]. weights: of the images, float [N], sum 1."""

    places: NDArray[np.intp]
    weights: NDArray[np.float64]

    @classmethod
    def read(cls, numbers: ArrayLike | None, num: int) -> "Groups":
        """Of `num` images of equal weight. numbers: of their groups, int [N]; None: each image is one of its own.

        Raises:
            ValueError: there is another number of groups' numbers than of images.
        """
        if numbers is None:
            return cls(np.arange(num), np.full(num, 1 / num))
        _, places = np.unique(np.asarray(numbers), return_inverse=True)
        if places.shape != (num,):
            raise ValueError(f"the groups of {places.size} images for {num}")
        return cls(places, np.full(num, 1 / num))

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Of each group of all images, float [G]."""
        return np.bincount(self.places, weights=self.weights).astype(np.float64)

    @property
    def df(self) -> float:
        """Degrees of freedom of a variance between groups, at least 1."""
        return max(1.0, 1 / float((self.shares**2).sum()) - 1)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over each group, float [..., G]. values: of the images, float [..., N]."""
        order = self.places.argsort(kind="stable")
        starts = np.searchsorted(self.places[order], np.arange(len(self.shares)))
        return np.add.reduceat(values[..., order], starts, axis=-1)

    def sum_squares(self, values: NDArray[np.float64]) -> float:
        """Of the sums of all groups, each as large as groups that vary by chance are; 0 of a single one.

        values: of the images, less their mean, float [..., N].
        """
        if len(self.shares) == 1:
            return 0.0
        kept = 1 - 2 * self.shares + (self.shares**2).sum()
        return float((self.sum(values) ** 2 / kept).sum())


def count_independent(correct: ArrayLike, groups: ArrayLike, level: float = 0.95) -> float:
    """How many images drawn one by one would know an accuracy as surely, in [1, N].

    correct: of the images, bool [N]. groups: the numbers of their groups, int [N]. Where all are right, or all wrong,
    the number of groups.
    Source: Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", Survey Methodology 24.

    Raises:
        ValueError: there are no images, or another number of groups' numbers.
    """
    right = np.asarray(correct, np.float64)
    if not len(right):
        raise ValueError("no images")
    found, share = Groups.read(groups, len(right)), float(right.mean())
    by_groups = found.sum_squares(right - share) / len(right)
    by_images = share * (1 - share) * len(right) / max(1, len(right) - 1)
    alone = len(right) * by_images / by_groups if by_groups > 0 else float(len(right))
    if not 0 < share < 1:
        alone = found.df + 1
    quantile = (1 + level) / 2
    few = float(stdtrit(len(right) - 1, quantile) / stdtrit(found.df, quantile)) ** 2 if len(right) > 1 else 1.0
    return min(float(len(right)), max(1.0, alone * few))
