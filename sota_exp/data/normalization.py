"""Mean and standard deviation of a data set: of its train part alone, equal whether images are stored or streamed."""

import numpy as np

from sota_exp.data.splits import limit_indices
from sota_exp.stages.data import Preprocessing

#: The statistics are those of at most so many training images. The standard error of a mean is then 0.5 % of the
#: standard deviation between images; more would have to be decoded at full size where images are streamed.
NUM_IMAGES = 5000


def choose_images(train: np.ndarray, labels: np.ndarray, num: int = NUM_IMAGES) -> np.ndarray:
    """The at most `num` images of the statistics, int64 [n], ascending; train: int64 [M], indices into labels [N]."""
    return limit_indices(train, labels, num, seed="normalization")


def sum_pixels(image: np.ndarray) -> np.ndarray:
    """Sums of the pixels and of their squares, per channel, of an image uint8 [H, W, 3]: int64 [2, 3]."""
    # Integers below 2**53: the float64 sums are exact in any order.
    values = image.astype(np.float64)
    return np.stack([values.sum(0).sum(0), np.square(values).sum(0).sum(0)]).astype(np.int64)


def compute_statistics(sums: np.ndarray, num_pixels: int) -> Preprocessing:
    """Mean and standard deviation per channel in [0, 1], from the sums of `num_pixels` pixels, int64 [2, 3]."""
    mean, square = sums / max(num_pixels, 1)
    # At least one grey level, so that images of one colour are not divided by zero.
    std = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1.0)
    return Preprocessing(mean=tuple((mean / 255).tolist()), std=tuple((std / 255).tolist()))
