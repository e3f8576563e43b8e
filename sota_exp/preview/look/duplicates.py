"""Near-duplicates across splits: images of val or test that training has all but seen, so that scores are inflated.

Two steps. A perceptual hash finds candidates: the signs of the low frequencies of each image's cosine transform, 63 bits,
compared with every image of the other split. Candidates are near-duplicates if their standardized thumbnails are close:
z = (x − mean) / sd over 16 × 16 × 3 values, distance = √mean((z − z')²) = √(2·(1 − correlation)), which neither brightness
nor contrast changes. Flat images have nothing to compare and are left out.

Paper: Zauner 2010, Implementation and benchmarking of perceptual image hash functions (the hash); Barz & Denzler 2019, Do
we train on test data?, arXiv 1902.00423 (3.3 % and 10 % of the test images of CIFAR-10 and CIFAR-100 have one in train)
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.data.resize import interpolate
from sota_exp.data.splits import subset
from sota_exp.stages.data import DataSet, Images

#: Sides in pixels of what is hashed and of what is compared.
HASHED, COMPARED = 32, 16

#: Frequencies per axis: 8 × 8 of them, the constant one left out.
FREQUENCIES = 8

#: Bits in which candidates may differ; of unrelated images 31 do.
MOST_BITS = 12

#: Candidates whose thumbnails are compared, for each image.
NUM_CANDIDATES = 16

#: Distance up to which two images are near-duplicates: a correlation of 0.989. JPEG at quality 60 moves an image by 0.05-0.11,
#: half the size by 0.04 at most; different digits on one photograph lie 0.17 apart, different photographs 0.3.
NEAR = 0.15

#: Standard deviation of a thumbnail in grey levels below which an image is flat.
FLAT = 4.0

#: Images that are compared of each split: 20 s for 100,000 against 20,000 on one core.
MOST_IMAGES = {"train": 100_000, "val": 20_000, "test": 20_000}

#: Images read and rows compared at a time.
CHUNK = 256

#: Which split is searched for copies of which.
SEARCHES = (("val", "train"), ("test", "train"), ("test", "val"))


@dataclass(frozen=True, kw_only=True)
class Prints:
    """What images of one split are compared by.

    indices: int64 [N] into the set. bits: float32 [N, 63] of −1 and 1. thumbnails: uint8 [N, 768]. flat: bool [N].
    """

    indices: Tensor
    bits: Tensor
    thumbnails: Tensor
    flat: Tensor


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image of `split` and the closest one to it in `other`, by index in the set; their distance, 0 for equal."""

    split: str
    index: int
    other: str
    other_index: int
    distance: float

    @property
    def is_near(self) -> bool:
        return self.distance <= NEAR


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """The closest pair of every image that has a candidate, closest first; how many were compared of how many, and flat ones."""

    pairs: list[Pair]
    compared: dict[str, int]
    available: dict[str, int]
    num_flat: int

    @property
    def near(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.is_near]

    def num_near(self, split: str, other: str) -> int:
        """Images of `split` that have a near-duplicate in `other`."""
        return sum((pair.split, pair.other) == (split, other) for pair in self.near)


def cosines(num: int) -> Tensor:
    """The lowest `FREQUENCIES` rows of the discrete cosine transform of `num` values, float32."""
    frequency, place = torch.arange(FREQUENCIES)[:, None], torch.arange(num)
    return (math.pi / num * (place + 0.5) * frequency).cos()


def hash_bits(images: Tensor) -> Tensor:
    """Uint8 [B, 3, 32, 32] → float32 [B, 63] of −1 and 1: which frequencies lie above their median."""
    grey = images.float().mean(1)
    waves = cosines(HASHED)
    low = (waves @ grey @ waves.T).flatten(1)[:, 1:]
    return torch.where(low > low.median(1, keepdim=True).values, 1.0, -1.0)


def standardized(thumbnails: Tensor) -> Tensor:
    """Uint8 [N, D] → float32 [N, D], rows of mean 0 and standard deviation 1."""
    values = thumbnails.float()
    centred = values - values.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


def reduced(images: Images, indices: Tensor, side: int) -> Tensor:
    """Whole images squeezed to squares, antialiased: uint8 [B, 3, side, side]."""
    rows_by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    picked = indices.tolist()
    for row, index in enumerate(picked):
        rows_by_shape[images.size(index)].append(row)
    made = torch.empty(len(picked), 3, side, side, dtype=torch.uint8)
    for rows in rows_by_shape.values():
        same = torch.stack([images.image(picked[row]).permute(1, 2, 0) for row in rows]).permute(0, 3, 1, 2)
        made[rows] = interpolate(same, side, side)
    return made


def prints(images: Images, indices: Tensor) -> Prints:
    """Hash and thumbnail of each image; one chunk of them is decoded at a time."""
    bits, thumbnails = [], []
    for part in indices.split(CHUNK):
        small = reduced(images, part, HASHED)
        bits.append(hash_bits(small))
        tiny = interpolate(small.contiguous(memory_format=torch.channels_last), COMPARED, COMPARED)
        thumbnails.append(tiny.flatten(1))
    kept = torch.cat(thumbnails)
    flat = torch.cat([part.float().std(1, correction=0) < FLAT for part in kept.split(CHUNK)])
    return Prints(indices=indices, bits=torch.cat(bits), thumbnails=kept, flat=flat)


def closest(queries: Prints, gallery: Prints) -> tuple[Tensor, Tensor]:
    """For each query its closest candidate (row of the gallery, int64 [N]) and their distance (float32 [N], inf without any)."""
    candidates = min(NUM_CANDIDATES, len(gallery.indices))
    rows, distances = [], []
    for start in range(0, len(queries.indices), CHUNK):
        cut = slice(start, start + CHUNK)
        agreement = queries.bits[cut] @ gallery.bits.T
        agreement[:, gallery.flat] = -torch.inf
        most = agreement.topk(candidates, dim=1)
        differing = (queries.bits.shape[1] - most.values) / 2
        there = standardized(gallery.thumbnails[most.indices].flatten(0, 1)).view(*most.indices.shape, -1)
        apart = (there - standardized(queries.thumbnails[cut])[:, None]).square().mean(2).sqrt()
        apart[(differing > MOST_BITS) | queries.flat[cut, None]] = torch.inf
        best = apart.min(1)
        rows.append(most.indices.gather(1, best.indices[:, None])[:, 0])
        distances.append(best.values)
    return torch.cat(rows), torch.cat(distances)


def compared_part(data: DataSet, split: str) -> Tensor:
    """The images of a split that are compared: all, or a stratified part of a large set."""
    indices: Tensor = vars(data)[split]
    return torch.from_numpy(subset(indices.numpy(), data.labels.numpy(), MOST_IMAGES[split], seed=0))


def duplicates(data: DataSet) -> Duplicates:
    """Every image of val and test with its closest candidate in train, and of test in val."""
    made = {split: prints(data.images, compared_part(data, split)) for split in MOST_IMAGES}
    pairs = []
    for split, other in SEARCHES:
        rows, distances = closest(made[split], made[other])
        for row in distances.isfinite().nonzero().flatten().tolist():
            pairs.append(
                Pair(
                    split=split,
                    index=int(made[split].indices[row]),
                    other=other,
                    other_index=int(made[other].indices[rows[row]]),
                    distance=distances[row].item(),
                )
            )
    return Duplicates(
        pairs=sorted(pairs, key=lambda pair: (pair.distance, pair.index)),
        compared={split: len(each.indices) for split, each in made.items()},
        available={split: len(vars(data)[split]) for split in made},
        num_flat=sum(int(each.flat.sum()) for each in made.values()),
    )
