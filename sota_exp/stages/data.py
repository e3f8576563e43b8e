"""Data sources, the images and splits that they return, and how images are preprocessed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sota_exp.stages.stage import CropRatio, Legal, Pixels, Stage, added_field, one_of

#: Interpolation modes for resizing.
INTERPOLATIONS = ("bilinear", "bicubic")

#: Changes of an image that leave its label correct in some data sets.
LABEL_PRESERVING = ("horizontal_flip", "large_rotation")

SplitFraction = Annotated[float, Legal(lambda value: 0 < value < 0.5, "a fraction in (0, 0.5)")]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Input of a network: images resized by `interpolation`, scaled to [0, 1], then (x − mean) / std per channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"


class Blocks(NamedTuple):
    """Which images are read together: the block of every image, int64 [N], and the bytes of each block, int64 [G]."""

    of: NDArray[np.int64]
    num_bytes: NDArray[np.int64]


class Images(ABC):
    """A sequence of images of any size, read by index."""

    #: (height, width) in pixels if they are known to be equal for all images.
    shape: tuple[int, int] | None = None

    @property
    def blocks(self) -> Blocks | None:
        """Which images are read together; None: each can be read alone."""
        return None

    @abstractmethod
    def __len__(self) -> int: ...

    def stack(self, indices: Tensor) -> Tensor:
        """A copy of the images at `indices`, int64 [B], which must have one shape: uint8 [B, H, W, 3]."""
        return torch.stack([self.image(index).permute(1, 2, 0) for index in indices.tolist()])

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels."""

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """One image: uint8 [3, H, W] in channels-last strides."""

    def sizes(self, indices: Tensor) -> Tensor:
        """Heights and widths in pixels of the images at `indices`, int64 [B]: int64 [B, 2]."""
        return torch.tensor([self.size(index) for index in indices.tolist()])

    def cut_boxes(self, indices: Tensor, boxes: Tensor) -> list[Tensor]:
        """One box of each image, as a view [1, 3, h, w]; boxes: int64 [B, 4], (top, left, height, width) in pixels."""
        return [view_box(self.image(index), *box) for index, box in zip(indices.tolist(), boxes.tolist(), strict=True)]

    def find_changed(self, indices: Tensor, digests: Tensor, since: float) -> list[int]:
        """Those of `indices`, int64 [n], whose files were written after `since` and have other contents now.

        digests: of every image, int64 [N], as in `DataSet`. since: in seconds since 1970.
        """
        return []


def view_box(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A view of a box inside an image [3, H, W], as a batch of one: [1, 3, height, width]."""
    assert top + height <= image.shape[1] and left + width <= image.shape[2]
    channel, row, column = image.stride()
    # Slices with a new batch dimension have ambiguous strides, for which the kernel copies; these are channels last.
    strides = (image.shape[1] * row, channel, row, column)
    return image.as_strided((1, 3, height, width), strides, image.storage_offset() + top * row + left * column)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Images, their labels (int64 [N]), and the splits: ascending int64 indices of the images of each.

    digest: hash of the content, part of the fingerprint. image_digests: of every image, int64 [N], equal for copies of
    a file; by them a run knows the images that it was trained on. names: of the images, such as paths relative to the
    root; None where images have no names. knows_contents: whether the digests of images are those of their contents,
    or of their names and sizes alone. white: the value of white of 16-bit files that do not say it, if there are.
    groups: of every image, int64 [N], equal for those that vary together, such as photographs of one animal; None: each
    is one of its own.
    """

    images: Images
    labels: Tensor
    train: Tensor
    val: Tensor
    test: Tensor
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    digest: str
    image_digests: Tensor
    names: Sequence[str] | None = None
    white: int | None = None
    knows_contents: bool = True
    groups: Tensor | None = None

    def part(self, name: str) -> Tensor:
        """Indices of the images of `train`, `val`, `test`, or of `all` of them: int64 [n], ascending."""
        if name == "all":
            return torch.cat([self.train, self.val, self.test]).unique()
        indices: Tensor = vars(self)[name]
        return indices

    def count_images(self) -> dict[str, int]:
        """The number of images of each part."""
        return {part: len(self.part(part)) for part in ("train", "val", "test")}

    def name_image(self, index: int) -> str:
        """The name of an image; its number in the set, from 0, if images have no names."""
        return str(index) if self.names is None else self.names[index]


@dataclass(frozen=True, kw_only=True)
class Split(Stage):
    """Which images of a data set are for training, for choices (val) and for the test."""

    #: Whether images of a group stay in one part; and whether images that are almost equal are such a group.
    keeps_groups, near_duplicates = True, False

    @abstractmethod
    def __call__(
        self, given: NDArray[np.int64], labels: NDArray[np.int64], groups: NDArray[np.int64], source: "DataSource"
    ) -> NDArray[np.int64]:
        """The part of every image, int64 [N]: 0 train, 1 val, 2 test. Missing val or test are cut from train.

        given: the parts that the files have, int64 [N]. labels, groups: int64 [N]. source: says fractions and seed.

        Raises:
            InvalidValue: the images cannot be split so.
        """


@dataclass(frozen=True, kw_only=True)
class Holdout(Split):
    """The parts that the files have; missing ones are cut from train, once for all runs."""

    keeps_groups = False

    def __call__(
        self, given: NDArray[np.int64], labels: NDArray[np.int64], groups: NDArray[np.int64], source: "DataSource"
    ) -> NDArray[np.int64]:
        return given


@dataclass(frozen=True, kw_only=True)
class DataSource(Stage):
    """Builds or opens the image store of a data set.

    image_size: side in pixels for evaluation, and for training unless `augmentation/train_size` changes it.
    crop_ratio: evaluation resizes the shorter side to image_size / crop_ratio, then cuts the centre.
    interpolation: `bilinear` or `bicubic`; None: that of the pretrained weights, or bilinear without them.
    label_preserving: which of `LABEL_PRESERVING` leave labels correct.
    cache: directory of image stores and downloads.
    val_fraction, test_fraction: fraction of train to split off, stratified by class, if the data set has no such split.
    None: one split is both val and test, so the images of the final scores have already served to choose the weights.
    split: how images are split; other options than the first use the fractions and the seed of all images.
    """

    name: str
    image_size: Pixels
    crop_ratio: CropRatio
    interpolation: Annotated[str, one_of(*INTERPOLATIONS)] | None
    label_preserving: Annotated[
        list[str], Legal(lambda value: all(each in LABEL_PRESERVING for each in value), f"a part of {LABEL_PRESERVING}")
    ]
    cache: str
    val_fraction: SplitFraction | None
    test_fraction: SplitFraction | None
    split_seed: int
    split: Split = added_field({"_option_": "holdout"})

    @abstractmethod
    def __call__(self) -> DataSet:
        """Images of any size [3, H, W], labels int64 [N] and the indices of the splits."""

    def open_for_scoring(self) -> DataSet:
        """The data set for a model that was trained on others.

        Sets of files have only the splits that the files are in, of which some may be empty, `train` too: nothing is
        split off, and no class is required.
        """
        return self()
