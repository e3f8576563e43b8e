"""python -m benchmarks.near_duplicates DIR [SHEET.png]

What `data.split.near_duplicates` finds among the images below DIR: how many copies that were made of 500 of them, by
kind, and which images it takes as copies of each other. SHEET.png shows these pairs, the least alike last.
"""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance

from sota_exp.data.near_duplicates import (
    MIN_COSINE,
    MIN_COSINE_OF_WHOLES,
    compare_pairs,
    describe,
    describe_parts,
    find_near_duplicates,
    iterate_links,
    make_thumbnail,
)

#: Images of which copies are made, and pairs on the sheet.
NUM_COPIED, NUM_SHOWN = 500, 120


def compress(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file).convert("RGB")


def reduce(image: Image.Image) -> Image.Image:
    return image.resize((round(0.7 * image.width), round(0.7 * image.height)), Image.Resampling.BILINEAR)


def crop(image: Image.Image, share: float, left: float, top: float) -> Image.Image:
    """Without `share` of both sides, of which `left` and `top` are cut there."""
    width, height = round((1 - share) * image.width), round((1 - share) * image.height)
    x, y = round(left * (image.width - width)), round(top * (image.height - height))
    return image.crop((x, y, x + width, y + height))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 50": compress,
    "70 % of the size": reduce,
    "brightness +10 %": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "5 % cropped around": lambda image: crop(image, 0.05, 0.5, 0.5),
    "5 % cropped at two sides": lambda image: crop(image, 0.05, 0, 1),
    "the first three and 5 % around": lambda image: compress(
        ImageEnhance.Brightness(reduce(crop(image, 0.05, 0.5, 0.5))).enhance(1.1)
    ),
    "10 % cropped around": lambda image: crop(image, 0.1, 0.5, 0.5),
    "10 % cropped at two sides": lambda image: crop(image, 0.1, 0, 1),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def shrink(image: Image.Image) -> torch.Tensor:
    return make_thumbnail(torch.from_numpy(np.array(image)).permute(2, 0, 1))


def main(folder: Path, sheet: Path | None) -> None:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    images = [Image.open(file).convert("RGB") for file in files]
    thumbnails = torch.stack([shrink(image) for image in images])
    began = time.process_time()
    found = find_near_duplicates(thumbnails)
    seconds = time.process_time() - began
    sizes = np.bincount(found.groups)
    print(f"{len(files):,} images: {np.count_nonzero(sizes > 1)} groups of {sizes[sizes > 1].sum()} images, ", end="")
    print(f"the largest has {sizes.max()}; {seconds:.1f} s of one core")
    wholes, parts = describe(thumbnails), describe_parts(thumbnails)
    picked = np.random.default_rng(0).permutation(len(files))[:NUM_COPIED]
    for name, change in COPIES.items():
        copies = torch.stack([shrink(change(images[index])) for index in picked])
        both = torch.cat([wholes[picked], describe(copies)]), torch.cat([parts[picked], describe_parts(copies)])
        places = torch.arange(len(picked))
        hits = compare_pairs(*both, places, places + len(picked)) >= MIN_COSINE
        near = (both[0][: len(picked)] * both[0][len(picked) :]).sum(1)
        lengths = [each.square().sum(1).sqrt() for each in both[0].split(len(picked))]
        print(f"{(hits & (near >= MIN_COSINE_OF_WHOLES * lengths[0] * lengths[1])).double().mean():7.1%}  {name}")
    if sheet is not None:
        links = [
            (cosine, *pair)
            for pairs, cosines in iterate_links(wholes, parts)
            for cosine, pair in zip(cosines, pairs.T, strict=True)
        ]
        draw_pairs(sorted(links, key=lambda link: -link[0])[-NUM_SHOWN:], images, sheet)
        print(f"{len(links)} pairs; the {min(NUM_SHOWN, len(links))} least alike are in {sheet}")


def draw_pairs(links: list[tuple[float, int, int]], images: list[Image.Image], sheet: Path) -> None:
    page = Image.new("RGB", (6 * 220, -(-len(links) // 6) * 112), "white")
    for place, (cosine, *pair) in enumerate(links):
        x, y = place % 6 * 220, place // 6 * 112
        ImageDraw.Draw(page).text((x, y), f"{cosine:.3f}", "black")
        for column, index in enumerate(pair):
            page.paste(images[index].resize((100, 100)), (x + 102 * column, y + 12))
    page.save(sheet)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
