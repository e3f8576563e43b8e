"""How much of a difference is owed to the draw of the test images, the trained weights being given: paired bootstrap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: Resamples of the test set.
NUM_RESAMPLES = 4000


@dataclass(frozen=True, kw_only=True)
class OnExamples:
    """The difference in mean correctness, its interval over the draw of examples, and on how many it was won and lost."""

    difference: float
    low: float
    high: float
    won: int
    lost: int


def paired_bootstrap(first: ArrayLike, second: ArrayLike, level: float = 0.95, seed: int = 0) -> OnExamples:
    """Percentile bootstrap of mean(second − first) over examples: correctness [N], or its means over seeds.

    Differences of means over n seeds take few values, so a resample is one multinomial draw of how often each of them comes.
    Seed noise is not in it: weights are held, test images are drawn. Source: Efron and Tibshirani 1993, chapter 13.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise ValueError(f"not paired: shapes {one.shape} and {other.shape}")
    values, counts = np.unique(np.round(other - one, 12), return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(one), counts / len(one), NUM_RESAMPLES) @ values / len(one)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    won, lost = int(counts[values > 0].sum()), int(counts[values < 0].sum())
    return OnExamples(difference=float((other - one).mean()), low=float(low), high=float(high), won=won, lost=lost)
