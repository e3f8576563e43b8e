"""Shapes on photographs, the way MNIST-M was made: the background inside a shape is inverted, here also tinted against it.

object = (255 - background + tint) / 2, tint = mean +- push away from the nearer end of the scale, per channel
image  = mask * object + (1 - mask) * background

So the mean inside a shape differs from the patch's by 32 grey levels or more in every channel, where pure inversion would
hide shapes on middle grey.

Paper: Ganin et al. 2016, Domain-Adversarial Training of Neural Networks, arXiv 1505.07818.

Everything is whole-number arithmetic on the raw stream of PCG64, so the pixels are equal on every machine and version.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sota_exp.data.splits import stratified
from sota_exp.data.store import data_set, open_or_build
from sota_exp.data.store_writer import TEST, TRAIN, Contents, Sample
from sota_exp.stages.data import DataSet, Source
from sota_exp.stages.random import key_to_seed
from sota_exp.stages.stage import require

# Part of the stores' names: raise it whenever the pixels change.
RECIPE = 1

# The side of the scene, in pixels of the photographs: what the sizes below are shares of.
SCENE = 64
SMALLEST, LARGEST = 28, 60
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
    """Where an installed package lies, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is not installed; the embedded data come from it", name=name)
    return Path(spec.submodule_search_locations[0])


def backgrounds() -> dict[int, list[np.ndarray]]:
    """Per part, a region of every photograph, uint8 [H, W, 3]: the left for training, the right for testing."""
    regions: dict[int, list[np.ndarray]] = {TRAIN: [], TEST: []}
    for package, path in PHOTOGRAPHS:
        with Image.open(package_folder(package) / path) as image:
            photograph = np.asarray(image.convert("RGB"))
        edge = photograph.shape[1] * TRAIN_WIDTH_PERCENT // 100
        regions[TRAIN].append(photograph[:, :edge])
        regions[TEST].append(photograph[:, edge:])
    return regions


@functools.lru_cache(maxsize=256)
def resampling(source: int, target: int) -> np.ndarray:
    """Weights of a line of `target` pixels over `source` pixels: int64 [target, source], rows sum to 1024.

    A triangle filter, as wide as a source pixel when enlarging and as a target pixel when reducing (antialiased).
    """
    # Distances between pixel centres in units of 1 / (2 * source * target) of the line.
    centres = (2 * np.arange(target)[:, None] + 1) * source
    distance = np.abs(centres - (2 * np.arange(source)[None, :] + 1) * target)
    reach = 2 * max(source, target)
    heights = np.maximum(reach - distance, 0)
    weights = heights * 1024 // heights.sum(axis=1, keepdims=True)
    weights[np.arange(target), weights.argmax(axis=1)] += 1024 - weights.sum(axis=1)
    return weights


def resample(image: np.ndarray, side: int) -> np.ndarray:
    """Uint8 [H, W] or [H, W, C] → uint8 [side, side] or [side, side, C], exact in whole numbers."""
    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return image
    rows = np.tensordot(resampling(height, side), image.astype(np.int64), axes=(1, 0))
    both = np.tensordot(resampling(width, side), rows, axes=(1, 1)).swapaxes(0, 1)
    return ((both + 2**19) >> 20).astype(np.uint8)


def scaled(word: int, high: int) -> int:
    """A random 32-bit word → a whole number in [0, high)."""
    return (int(word) * high) >> 32


def patch(photograph: np.ndarray, word_y: int, word_x: int) -> np.ndarray:
    """A scene-sized piece of a photograph: uint8 [64, 64, 3]."""
    height, width = photograph.shape[:2]
    top, left = scaled(word_y, height - SCENE + 1), scaled(word_x, width - SCENE + 1)
    return photograph[top : top + SCENE, left : left + SCENE]


def placed(shape: np.ndarray, side: int, word_size: int, word_y: int, word_x: int) -> np.ndarray:
    """A shape at a log-uniform size, near the centre of an empty mask: uint8 [side, side], 255 inside."""
    in_scene = SMALLEST * (LARGEST / SMALLEST) ** (int(word_size) / 2**32)
    size = round(in_scene * side / SCENE)
    free = side - size
    reach = min(free // 2, JITTER * side // SCENE)
    top = free // 2 - reach + scaled(word_y, 2 * reach + 1)
    left = free // 2 - reach + scaled(word_x, 2 * reach + 1)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[top : top + size, left : left + size] = resample(shape, size)
    return mask


def blended(background: np.ndarray, mask: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Background uint8 [S, S, 3] with the shape in `mask` uint8 [S, S] inverted and tinted; `words` [3] vary the tint."""
    mean = background.sum(axis=0, dtype=np.int64).sum(axis=0) // (background.size // 3)
    push = 64 + (words.astype(np.int64) * 65 >> 32)
    tint = np.where(mean < 128, mean + push, mean - push)
    outside, alpha = background.astype(np.int32), mask[:, :, None].astype(np.int32)
    inside = (255 - outside + tint.astype(np.int32)) // 2
    return ((alpha * inside + (255 - alpha) * outside + 127) // 255).astype(np.uint8)


def distinct(shapes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shapes [N, h, w] and labels [N] without repeated shapes, in their order: a copy could stand on both sides of a split."""
    _, first = np.unique(shapes.reshape(len(shapes), -1), axis=0, return_index=True)
    first.sort()
    return shapes[first], labels[first]


def scenes(name: str, shapes: np.ndarray, labels: np.ndarray, num_test: int, side: int) -> Iterator[Sample]:
    """Every shape (uint8 [N, h, w]) on a patch of a photograph, `side` pixels square; the same scenes at any side.

    name: keys the draws and the choice of the `num_test` shapes that test, on backgrounds of their own.
    """
    regions = backgrounds()
    test = set(stratified(np.arange(len(labels)), labels, num_test, name).tolist())
    words = (np.random.PCG64(key_to_seed(name)).random_raw(len(shapes) * 9) >> np.uint64(32)).reshape(-1, 9)
    for index, (shape, label, draw) in enumerate(zip(shapes, labels, words, strict=True)):
        part = TEST if index in test else TRAIN
        photograph = regions[part][scaled(draw[0], len(PHOTOGRAPHS))]
        ground = resample(patch(photograph, draw[1], draw[2]), side)
        mask = placed(shape, side, draw[3], draw[4], draw[5])
        yield Sample(blended(ground, mask, draw[6:9]), int(label), part)


@dataclass(frozen=True, kw_only=True)
class OnPhotos(Source):
    """Shapes on photographs; test shapes and test backgrounds appear in no training image."""

    stored_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(16 <= self.stored_size <= 512, "stored_size", self.stored_size, "pixels, from 16 to 512")

    def opened(
        self, name: str, classes: Sequence[str], num_test: int, shapes: Callable[[], tuple[np.ndarray, np.ndarray]]
    ) -> DataSet:
        """The set of that name, made of the shapes and their labels where it is not there yet."""

        def contents() -> Contents:
            return Contents(classes, scenes(name, *shapes(), num_test, self.stored_size))

        return data_set(open_or_build(self.cache, f"{name}-{self.stored_size}px-{RECIPE}", contents), self)
