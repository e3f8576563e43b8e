"""Data sources, the images and splits that they give, and how images are preprocessed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.stage import Stage, require

#: How images can be resized.
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images become what a network reads: resized by `interpolation`, scaled to [0, 1], then (x − mean) / std by channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"


class Images(ABC):
    """Any-size images by index, as the image store holds them."""

    #: (height, width), where all images are known to share them.
    shape: tuple[int, int] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    def stacked(self, indices: Tensor) -> Tensor:
        """A copy of the images at int64 `indices` [B], which share their shape: uint8 [B, H, W, 3]."""
        return torch.stack([self.image(index).permute(1, 2, 0) for index in indices.tolist()])

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels."""

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """Uint8 [3, H, W] in channels-last strides."""

    def sizes(self, indices: Tensor) -> Tensor:
        """Height and width in pixels of the images at int64 `indices` [B], int64 [B, 2]."""
        return torch.tensor([self.size(index) for index in indices.tolist()])

    def boxes(self, indices: Tensor, boxes: Tensor) -> list[Tensor]:
        """A view [1, 3, h, w] of the part of each image that its box names, int64 [B, 4]: top, left, height, width."""
        return [cut(self.image(index), *box) for index, box in zip(indices.tolist(), boxes.tolist(), strict=True)]


def cut(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A view of a box inside an image [3, H, W], as a batch of one: [1, 3, height, width]."""
    assert top + height <= image.shape[1] and left + width <= image.shape[2]
    channel, row, column = image.stride()
    # A batch of one sliced out of an image has ambiguous strides, which cost the kernel a repacking; these are channels last.
    strides = (image.shape[1] * row, channel, row, column)
    return image.as_strided((1, 3, height, width), strides, image.storage_offset() + top * row + left * column)


class Reducible(Images):
    """Images that cost less to make at a fraction of their size: what streams from files."""

    @abstractmethod
    def step_of(self, index: int, factor: float) -> int:
        """The factor in whole steps: factors of one step give the same `reduced` image."""

    @abstractmethod
    def reduced(self, index: int, factor: float) -> Tensor:
        """Uint8 [3, h, w], the whole image at some size from 1/`factor` of its own up to its own."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Images, their labels, and which of them train, validate and test (int64 indices, ascending, disjoint)."""

    images: Images
    labels: Tensor
    train: Tensor
    val: Tensor
    test: Tensor
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    digest: str


@dataclass(frozen=True, kw_only=True)
class Source(Stage):
    """Where images come from. Called, it makes or opens the store and returns the set with its splits.

    image_size: side in pixels at which the set is evaluated, and trained unless `augmentation/train_size` says otherwise.
    crop_ratio: evaluation resizes the shorter side to image_size / crop_ratio, then cuts the centre.
    interpolation: how images are resized, `bilinear` or `bicubic`; None: as for the weights that training starts from, else bilinear.
    label_preserving: which of `horizontal_flip` and `large_rotation` leave a label true.
    val_fraction, test_fraction: what is cut from train, stratified by class, where the set has no such part of its own;
    None: nothing, and one part serves as both. What chooses on val then also reports on it.
    """

    name: str
    image_size: int
    crop_ratio: float
    interpolation: str | None
    label_preserving: list[str]
    cache: str
    val_fraction: float | None
    test_fraction: float | None
    split_seed: int

    def __post_init__(self) -> None:
        known = {"horizontal_flip", "large_rotation"}
        require(self.image_size >= 8, "image_size", self.image_size, "pixels, at least 8")
        require(0.1 <= self.crop_ratio <= 1, "crop_ratio", self.crop_ratio, "a fraction in [0.1, 1]")
        resizing = self.interpolation
        require(
            resizing in (None, *INTERPOLATIONS),
            "interpolation",
            resizing,
            f"one of {', '.join(INTERPOLATIONS)}, or null",
        )
        require(
            set(self.label_preserving) <= known, "label_preserving", self.label_preserving, f"a part of {sorted(known)}"
        )
        for name, share in (("val_fraction", self.val_fraction), ("test_fraction", self.test_fraction)):
            require(share is None or 0 < share < 0.5, name, share, "a fraction in (0, 0.5), or null")

    @abstractmethod
    def __call__(self) -> DataSet: ...

    def files(self) -> list[str]:
        """Where each image of the set was read from; empty where images have no files of their own."""
        return []
