"""Groups of near-duplicates: bursts of photographs, and resized, recompressed, brighter or slightly cropped copies.

An image is described by the differences d of neighbouring pixels of its grey 16 × 16 thumbnail, across and down, as
g = sign(d)·√|d|: a difference hash that keeps some of the magnitudes, and does not depend on brightness and contrast.
Two images are linked where cos(g, g') reaches `MIN_COSINE`, for the whole of one and the whole, a corner or the centre
(95 % of the sides) of the other; what links connect is a group. Numbers are whole, so that sums of products are exact
in float32, and groups are the same on every machine. Mirrored and turned copies are not found.

Papers: Krawetz 2013, Kind of Like That (hackerfactor.com), the difference hash; Barz & Denzler 2019, arXiv 1902.00423,
near-duplicates in test sets
"""

import logging
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sota_exp.data.read_files import read_all
from sota_exp.data.split.folds import IntArray, unite_groups
from sota_exp.runs.atomic import write_recomputable
from sota_exp.stages.stage import require

#: Name of a file of what was found; increment its number whenever other images are linked.
CACHE_NAME = "near-duplicates-1.npz"

#: Sides in pixels of the stored thumbnail, of the parts that are cut from it, and of what is described.
STORED_SIDE, PART_SIDE, SIDE = 40, 38, 16

#: Cosine from which on two images are near-duplicates. Of 2,934 photographs of flowers and 10,000 images of CIFAR-10 it
#: links 90 pairs, of which by eye two are different objects, and it finds 99.8 to 100 % of copies that are compressed
#: to quality 50, reduced to 70 %, brighter by 10 % or cropped by 5 % (`python -m benchmarks.near_duplicates`).
MIN_COSINE = 0.82

#: Cosine of the wholes from which on parts are compared.
MIN_COSINE_OF_WHOLES = 0.35

#: Weights of red, green and blue in grey (ITU-R 601), as Pillow's.
LUMA = (299, 587, 114)

#: A root of a difference is a whole number of these.
UNIT = 0.25

#: Most images that are compared, all with all: on two cores 10,000 take seconds, 100,000 some minutes.
MAX_IMAGES = 100_000

#: Products, and pairs of images, in memory at once.
MAX_PRODUCTS, MAX_PAIRS = 2**24, 2**13

log = logging.getLogger(__name__)


class NearDuplicates(NamedTuple):
    """The number of each image's group, int64 [N], and the two images that are least alike of those linked, int64 [2];
    an empty array where none are.
    """

    groups: IntArray
    least_alike: IntArray


def make_thumbnail(image: Tensor) -> Tensor:
    """Uint8 [3, H, W] → uint8 [3, 40, 40]."""
    return F.interpolate(image[None], size=(STORED_SIDE, STORED_SIDE), mode="bilinear", antialias=True)[0]


def keep_together(
    groups: IntArray | None, num: int, read: Callable[[int], Tensor], cached: Path, name: Callable[[int], str]
) -> IntArray:
    """Groups that cut neither `groups` nor near-duplicates, which are told: int64 [N].

    groups: of every image, int64 [N]. read: index → image, uint8 [3, H, W]. cached: the file of what was found before.
    name: names an image by its index.

    Raises:
        InvalidValue: there are too many images.
    """
    legal = f"false for {num:,} images, as more than {MAX_IMAGES:,} are too many to compare all with all"
    require(num <= MAX_IMAGES, "split.near_duplicates", "true", legal)
    found = load_or_find(num, read, cached)
    sizes = np.bincount(found.groups)
    if not len(found.least_alike):
        log.info("near-duplicates: none among %s images", f"{num:,}")
    else:
        log.info(
            "near-duplicates: %d groups of %d images, each kept on one side; the largest has %d; "
            "least alike of those linked: %s and %s",
            np.count_nonzero(sizes > 1),
            sizes[sizes > 1].sum(),
            sizes.max(),
            *(name(index) for index in found.least_alike.tolist()),
        )
    return found.groups if groups is None else unite_groups(groups, found.groups)


def load_or_find(num: int, read: Callable[[int], Tensor], cached: Path) -> NearDuplicates:
    """What `find_near_duplicates` finds among `num` images; cached in a file. read: index → image, uint8 [3, H, W]."""
    try:
        with open(cached, "rb") as stream, np.load(stream) as file:
            return NearDuplicates(file["groups"], file["least_alike"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        log.info("looking for near-duplicates among %s images", f"{num:,}")
    thumbnails = torch.stack(list(read_all(lambda index: make_thumbnail(read(index)), range(num))))
    found = find_near_duplicates(thumbnails)
    with suppress(OSError):  # A cache may be read-only.
        write_recomputable(cached, lambda file: np.savez(file, groups=found.groups, least_alike=found.least_alike))
    return found


def describe(thumbnails: Tensor) -> Tensor:
    """Uint8 [N, 3, S, S] → whole numbers, float32 [N, 480]; all 0 for an image of one colour."""
    small = F.interpolate(thumbnails, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    grey = (small.to(torch.int32) * torch.tensor(LUMA).view(3, 1, 1)).sum(1)
    change = torch.cat([grey.diff(dim=2).flatten(1), grey.diff(dim=1).flatten(1)], 1) / sum(LUMA)
    return (change.sign() * change.abs().sqrt() / UNIT).round()


def describe_parts(thumbnails: Tensor) -> Tensor:
    """Uint8 [N, 3, 40, 40] → the descriptions of the four corners and of the centre, int8 [N, 5, 480]."""
    low, high, middle = slice(PART_SIDE), slice(-PART_SIDE, None), slice(1, -1)
    places = [(rows, columns) for rows in (low, high) for columns in (low, high)] + [(middle, middle)]
    return torch.stack([describe(thumbnails[..., rows, columns]) for rows, columns in places], 1).to(torch.int8)


def measure(descriptions: Tensor) -> Tensor:
    """Lengths [..., N] of descriptions [..., N, 480]; at least 1, so that nothing resembles an image of one colour."""
    return descriptions.square().sum(-1).sqrt().clamp(min=1)


def find_near_duplicates(thumbnails: Tensor) -> NearDuplicates:
    """The groups of near-duplicates. thumbnails: uint8 [N, 3, 40, 40]."""
    from scipy.sparse import coo_array  # which takes longer to import than most data to be opened
    from scipy.sparse.csgraph import connected_components

    num = len(thumbnails)
    groups, least_alike, smallest = np.arange(num), np.empty(0, np.int64), np.inf
    for pairs, cosines in iterate_links(describe(thumbnails), describe_parts(thumbnails)):
        if cosines.min() < smallest:
            smallest, least_alike = cosines.min(), pairs[:, cosines.argmin()]
        _, first = np.unique(groups, return_index=True)
        ends = np.concatenate([pairs, [np.arange(num), first[groups]]], axis=1)
        _, groups = connected_components(coo_array((np.ones(ends.shape[1]), tuple(ends)), (num, num)), directed=False)
    return NearDuplicates(groups.astype(np.int64), least_alike)


def iterate_links(wholes: Tensor, parts: Tensor) -> Iterator[tuple[IntArray, NDArray[np.float32]]]:
    """Images that are near-duplicates, int64 [2, P], and their cosines [P]; a part of them at a time, none empty.

    wholes, parts: descriptions, float32 [N, 480] and int8 [N, 5, 480].
    """
    lengths, size = measure(wholes), max(1, MAX_PRODUCTS // max(1, len(wholes)))
    for start in range(0, len(wholes), size):
        rest, some = wholes[start:], wholes[start : start + size]
        cosines = some @ rest.T / (measure(some)[:, None] * lengths[start:])
        for pairs in ((cosines >= MIN_COSINE_OF_WHOLES).triu(1).nonzero() + start).split(MAX_PAIRS):
            best = compare_pairs(wholes, parts, *pairs.T)
            if (linked := best >= MIN_COSINE).any():
                yield pairs[linked].T.numpy(), best[linked].numpy()


def compare_pairs(wholes: Tensor, parts: Tensor, some: Tensor, others: Tensor) -> Tensor:
    """The largest cosine [P] of image pairs, int64 [P] each: of the wholes, and of each whole and the other's parts.

    wholes, parts: as `iterate_links`.
    """
    views = [compare(wholes[some], wholes[others])[:, None]]
    views += [compare(wholes[a][:, None], parts[b].float()) for a, b in ((some, others), (others, some))]
    return torch.cat(views, 1).amax(1)


def compare(some: Tensor, others: Tensor) -> Tensor:
    """Cosines of descriptions [..., 480]: [...]."""
    return (some * others).sum(-1) / (measure(some) * measure(others))
