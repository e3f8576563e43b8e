"""Photograph-like JPEGs that the benchmarks make for themselves: coloured gradients under noise, a class a folder."""

from pathlib import Path

import numpy as np
from PIL import Image

NUM_CLASSES = 4


def write(folder: Path, num_images: int, height: int, width: int) -> None:
    """`num_images` pictures of `height` × `width` pixels, the classes in turn."""
    random = np.random.default_rng(0)
    for index in range(num_images):
        coarse = Image.fromarray(random.integers(256, size=(5, 7, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
        noisy = smooth + random.normal(scale=8, size=smooth.shape)
        place = folder / f"class_{index % NUM_CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place / f"{index:05d}.jpg", quality=90)
