"""Shapes on photographs as in MNIST-M: the background inside a shape is inverted, and here also tinted.

object = (255 - background + tint) / 2, tint = mean +- push, away from the nearer end of the scale, per channel
image  = mask * object + (1 - mask) * background

The mean inside a shape differs from that of the background patch by at least 32 grey levels in every channel; inversion
alone would hide shapes on middle grey.

Paper: Ganin et al. 2016, Domain-Adversarial Training of Neural Networks, arXiv 1505.07818.

All arithmetic is on integers, from the raw stream of PCG64, so the pixels are identical on every machine and version.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image

from sota_exp.data.splits import draw_stratified
from sota_exp.data.store import open_data_set
from sota_exp.data.store_writer import TEST, TRAIN, Sample, StoreContents
from sota_exp.stages.data import DataSet, DataSource
from sota_exp.stages.random import key_to_seed
from sota_exp.stages.stage import Legal

# Part of the names of stores: increment it whenever the pixels change.
PIXELS_VERSION = 1

# Side of a patch of a photograph, smallest and largest side of a shape in it, largest offset from its centre, in
# pixels.
SCENE_SIDE = 64
MIN_SHAPE_SIDE, MAX_SHAPE_SIDE = 28, 60
JITTER = 4

# Photographs that ship inside the packages (public domain or CC0; the last two CC BY 2.0).
PHOTOGRAPHS = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/ihc.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)
TRAIN_WIDTH_PERCENT = 60


def package_folder(name: str) -> Path:
    """The folder of an installed package, found without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is not installed; this data set is built from its files", name=name)
    return Path(spec.submodule_search_locations[0])


def load_backgrounds() -> dict[int, list[np.ndarray]]:
    """Per split, a region of every photograph, uint8 [H, W, 3]: the left for training, the right for testing."""
    regions: dict[int, list[np.ndarray]] = {TRAIN: [], TEST: []}
    for package, path in PHOTOGRAPHS:
        with Image.open(package_folder(package) / path) as image:
            photograph = np.asarray(image.convert("RGB"))
        edge = photograph.shape[1] * TRAIN_WIDTH_PERCENT // 100
        regions[TRAIN].append(photograph[:, :edge])
        regions[TEST].append(photograph[:, edge:])
    return regions


@functools.lru_cache(maxsize=256)
def compute_resampling_weights(source: int, target: int) -> np.ndarray:
    """Weights that resample a line of `source` pixels to `target` pixels: [target, source], rows sum to 1024.

    Whole numbers, as float64: it holds all sums of them without rounding and multiplies eight times as fast.

    A triangle filter, scaled to the target pixels when reducing (antialiasing).
    """
    # Distances between pixel centres in units of 1 / (2 * source * target) of the line.
    centres = (2 * np.arange(target)[:, None] + 1) * source
    distance = np.abs(centres - (2 * np.arange(source)[None, :] + 1) * target)
    radius = 2 * max(source, target)
    heights = np.maximum(radius - distance, 0)
    weights = heights * 1024 // heights.sum(axis=1, keepdims=True)
    weights[np.arange(target), weights.argmax(axis=1)] += 1024 - weights.sum(axis=1)
    return weights.astype(np.float64)


def resample(image: np.ndarray, side: int) -> np.ndarray:
    """Uint8 [H, W] or [H, W, C] → uint8 [side, side] or [side, side, C], in whole numbers."""
    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return image
    rows = compute_resampling_weights(height, side) @ image.reshape(height, -1).astype(np.float64)
    both = compute_resampling_weights(width, side) @ rows.reshape(side, width, -1)
    return ((both.astype(np.int64) + 2**19) >> 20).astype(np.uint8).reshape(side, side, *image.shape[2:])


def scale_bits(bits: int, high: int) -> int:
    """A uniform random 32-bit integer → a uniform random integer in [0, high)."""
    return (int(bits) * high) >> 32


def cut_patch(photograph: np.ndarray, bits_y: int, bits_x: int) -> np.ndarray:
    """A random patch of a photograph [H, W, 3], by two 32-bit random integers: uint8 [64, 64, 3]."""
    height, width = photograph.shape[:2]
    top, left = scale_bits(bits_y, height - SCENE_SIDE + 1), scale_bits(bits_x, width - SCENE_SIDE + 1)
    return photograph[top : top + SCENE_SIDE, left : left + SCENE_SIDE]


def place_shape(shape: np.ndarray, side: int, bits_size: int, bits_y: int, bits_x: int) -> np.ndarray:
    """A mask with a shape uint8 [h, w] of log-uniform size near its centre: uint8 [side, side], 255 inside."""
    in_scene = MIN_SHAPE_SIDE * (MAX_SHAPE_SIDE / MIN_SHAPE_SIDE) ** (int(bits_size) / 2**32)
    size = round(in_scene * side / SCENE_SIDE)
    free = side - size
    jitter = min(free // 2, JITTER * side // SCENE_SIDE)
    top = free // 2 - jitter + scale_bits(bits_y, 2 * jitter + 1)
    left = free // 2 - jitter + scale_bits(bits_x, 2 * jitter + 1)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[top : top + size, left : left + size] = resample(shape, size)
    return mask


def blend(background: np.ndarray, mask: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Background uint8 [S, S, 3], inverted and tinted inside `mask` uint8 [S, S]; bits: 32-bit random integers [3]."""
    mean = background.sum(axis=0, dtype=np.int64).sum(axis=0) // (background.size // 3)
    push = 64 + (bits.astype(np.int64) * 65 >> 32)
    tint = np.where(mean < 128, mean + push, mean - push)
    outside, alpha = background.astype(np.int32), mask[:, :, None].astype(np.int32)
    inside = (255 - outside + tint.astype(np.int32)) // 2
    return ((alpha * inside + (255 - alpha) * outside + 127) // 255).astype(np.uint8)


def drop_duplicates(shapes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shapes [N, h, w] and labels [N] without duplicate shapes, in order, so that none is in two splits."""
    _, first = np.unique(shapes.reshape(len(shapes), -1), axis=0, return_index=True)
    first.sort()
    return shapes[first], labels[first]


def compose_scenes(name: str, shapes: np.ndarray, labels: np.ndarray, num_test: int, side: int) -> Iterator[Sample]:
    """Every shape, uint8 [N, h, w] with labels [N], on a patch of a photograph; the same scenes for any `side`.

    name: the key of the random numbers. num_test: number of test shapes, which get backgrounds of their own.
    """
    regions = load_backgrounds()
    test = set(draw_stratified(np.arange(len(labels)), labels, num_test, name).tolist())
    bits = (np.random.PCG64(key_to_seed(name)).random_raw(len(shapes) * 9) >> np.uint64(32)).reshape(-1, 9)
    for index, (shape, label, draw) in enumerate(zip(shapes, labels, bits, strict=True)):
        part = TEST if index in test else TRAIN
        photograph = regions[part][scale_bits(draw[0], len(PHOTOGRAPHS))]
        ground = resample(cut_patch(photograph, draw[1], draw[2]), side)
        mask = place_shape(shape, side, draw[3], draw[4], draw[5])
        yield Sample(blend(ground, mask, draw[6:9]), int(label), part)


@dataclass(frozen=True, kw_only=True)
class ShapesOnPhotos(DataSource):
    """Shapes on photographs; no training image has a test shape or background. stored_size: side in pixels."""

    stored_size: Annotated[int, Legal(lambda value: 16 <= value <= 512, "pixels, from 16 to 512")]

    def open_shapes_data_set(
        self, name: str, classes: Sequence[str], num_test: int, shapes: Callable[[], tuple[np.ndarray, np.ndarray]]
    ) -> DataSet:
        """The data set `name`, built from shapes uint8 [N, h, w] and labels [N] where it is not in the cache yet."""

        def contents() -> StoreContents:
            return StoreContents(classes, compose_scenes(name, *shapes(), num_test, self.stored_size))

        return open_data_set(self, f"{name}-{self.stored_size}px-{PIXELS_VERSION}", contents)
