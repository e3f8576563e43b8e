"""Generated images for tests and dry runs: one colour per class, with noise."""

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from sota_exp.data.store import open_data_set
from sota_exp.data.store_writer import TRAIN, Sample, StoreContents
from sota_exp.stages.data import DataSet, DataSource
from sota_exp.stages.random import key_to_seed
from sota_exp.stages.stage import Legal, Pixels


def draw_image(color: np.ndarray, height: int, width: int, seed: int) -> np.ndarray:
    """An image of one colour [3] with uniform noise of ±32 grey levels: uint8 [height, width, 3]."""
    num_bytes = height * width * 3
    words = np.random.PCG64(seed).random_raw(num_bytes // 8 + 1)
    noise = words.astype("<u8").view(np.uint8)[:num_bytes].reshape(height, width, 3) >> 2
    return color - 32 + noise


@dataclass(frozen=True, kw_only=True)
class Fake(DataSource):
    """One colour per class; the sides of images are from `min_side` to `max_side` pixels."""

    num_images: Annotated[
        int,
        Legal(
            lambda value, num_classes: value >= 3 * num_classes,
            "at least three per class, of num_classes={num_classes}",
        ),
    ]
    num_classes: Annotated[int, Legal(lambda value: 2 <= value <= 36, "from 2 to 36 colours")]
    min_side: Pixels
    max_side: Annotated[int, Legal(lambda value, min_side: value >= min_side, "pixels, at least min_side={min_side}")]

    def __call__(self) -> DataSet:
        key = f"fake-{self.num_images}-{self.num_classes}-{self.min_side}-{self.max_side}"
        classes = [f"color_{index:02d}" for index in range(self.num_classes)]
        return open_data_set(self, key, lambda: StoreContents(classes, self.samples()))

    def samples(self) -> Iterator[Sample]:
        """All images, cycling through the classes."""
        hues = [colorsys.hsv_to_rgb(index / self.num_classes, 0.5, 0.75) for index in range(self.num_classes)]
        palette = np.rint(np.array(hues) * 255).astype(np.uint8)
        spread = self.max_side - self.min_side + 1
        for index in range(self.num_images):
            seed = key_to_seed("fake", index)
            height, width = self.min_side + seed % spread, self.min_side + seed // spread % spread
            label = index % self.num_classes
            yield Sample(draw_image(palette[label], height, width, seed), label, TRAIN)
