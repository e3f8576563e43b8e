"""The interval of a single proportion, such as an accuracy. Imports no SciPy: the console of a training uses it."""

import math
from statistics import NormalDist


def wilson_interval(share: float, num: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a proportion in [0, 1] of `num` images; it never leaves [0, 1] and is never empty.

    (p + z²/2n ± z √(p (1 − p)/n + z²/4n²)) / (1 + z²/n): 6 of 6 right is 61 % to 100 %. It covers the sampling of
    images for fixed weights, not the training with other seeds.
    Source: Wilson 1927, Journal of the American Statistical Association 22; Brown, Cai and DasGupta 2001, Stat. Sci.

    Raises:
        ValueError: there are no images, or the share is outside [0, 1].
    """
    if num < 1 or not 0 <= share <= 1:
        raise ValueError(f"{share} of {num} images: expected a share in [0, 1] of at least one image")
    square = NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle = share + square / (2 * num)
    reach = math.sqrt(square * (share * (1 - share) / num + square / (4 * num**2)))
    low, high = ((middle + side * reach) / (1 + square / num) for side in (-1, 1))
    return (max(0.0, low) if share > 0 else 0.0), (min(1.0, high) if share < 1 else 1.0)
