"""What the options of `data/split` share: a val part inside the images that are not tested, and what must hold."""

import numpy as np

from sota_exp.data.split.folds import IntArray, assign_groups
from sota_exp.data.splits import round_share, split_off
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSource
from sota_exp.stages.stage import require

#: A further fix where groups are of near-duplicates too.
ALMOST_EQUAL = "; data.split.near_duplicates=false does not take images that look alike as a group"


def split_rest(is_test: np.ndarray, labels: IntArray, groups: IntArray, source: DataSource, key: str) -> IntArray:
    """The part of every image, int64 [N]: those that are not tested, bool [N], are for training and, a part, for val.

    key: of the random numbers.

    Raises:
        InvalidValue: `val_fraction` is None.
        ConfigError: a class would have no image to train on.
    """
    legal = "a fraction here: choices need images that are neither trained on nor tested"
    require(source.val_fraction is not None, "val_fraction", "null", legal)
    assert source.val_fraction is not None
    rest = np.flatnonzero(~is_test)
    parts = np.full(len(labels), TEST)
    parts[rest] = TRAIN
    parts[rest[is_part(labels[rest], groups[rest], source.val_fraction, f"{key}/val")]] = VAL
    untrained = np.setdiff1d(labels, labels[parts == TRAIN])
    if len(untrained):
        num = int(np.count_nonzero(labels == untrained[0]))
        raise ConfigError(
            f"data.split: class number {untrained[0]} has {num} images and none to train on, as groups are not cut; "
            f"give it more images or groups, or leave it out{ALMOST_EQUAL if source.split.near_duplicates else ''}"
        )
    return parts


def is_part(labels: IntArray, groups: IntArray, share: float, key: str) -> np.ndarray:
    """Which images are in a stratified part of about this share, groups uncut: bool [N]. key: of the random numbers."""
    if len(np.unique(groups)) < len(groups):
        return assign_groups(labels, groups, [1 - share, share], key) == 1
    _, taken = split_off(np.arange(len(labels)), labels, round_share(share, len(labels)), key)
    found = np.zeros(len(labels), bool)
    found[taken] = True
    return found
