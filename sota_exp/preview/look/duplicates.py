"""Near-duplicates across splits: images of val or test that are almost equal to one of train, which inflates scores.

Two steps. A perceptual hash finds candidates: 63 bits, whether each low frequency of the image's cosine transform is
above the median, compared with all images of the other split. Candidates are near-duplicates if their standardized
thumbnails are close: z = (x − mean) / sd over 16 × 16 × 3 values, distance = √mean((z − z')²) = √(2·(1 − correlation)),
which does not depend on brightness and contrast. Images of (almost) one colour are left out.

Paper: Zauner 2010, Implementation and benchmarking of perceptual image hash functions (the hash); Barz & Denzler 2019,
Do we train on test data?, arXiv 1902.00423 (3.3 % and 10 % of the test images of CIFAR-10 and CIFAR-100 have one in
train)
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.data.resize import interpolate
from sota_exp.data.splits import limit_indices
from sota_exp.stages.data import DataSet, Images

#: Sides in pixels of the image that is hashed and of the thumbnail that is compared.
HASHED_SIDE, THUMBNAIL_SIDE = 32, 16

#: Frequencies per axis; the constant one is left out, so 8 × 8 − 1 = 63 are used.
FREQUENCIES = 8

#: Most differing bits of candidates; unrelated images differ in 31 of 63.
MAX_DIFFERING_BITS = 12

#: Candidates per image whose thumbnails are compared.
NUM_CANDIDATES = 16

#: Distance up to which two images are near-duplicates: a correlation of 0.989. Measured: JPEG at quality 60 gives
#: 0.05-0.11, half the size at most 0.04, different digits on the same photograph 0.17, different photographs 0.3.
MAX_NEAR_DISTANCE = 0.15

#: Standard deviation of a thumbnail, of 255 grey levels, below which an image is flat (of one colour).
MIN_SD = 4.0

#: Most images of a split that are compared; 100,000 against 20,000 take 20 s on one core.
MAX_COMPARED_IMAGES = {"train": 100_000, "val": 20_000, "test": 20_000}

#: Images that are read or compared at a time.
CHUNK = 256

#: (split, other): for the images of split, copies are searched in other.
SEARCHED_SPLITS = (("val", "train"), ("test", "train"), ("test", "val"))


@dataclass(frozen=True, kw_only=True)
class ImageHashes:
    """Hashes and thumbnails of the images of one split.

    indices: int64 [N] into the data set. bits: float32 [N, 63] of −1 and 1. thumbnails: uint8 [N, 768]. flat: bool [N].
    """

    indices: Tensor
    bits: Tensor
    thumbnails: Tensor
    flat: Tensor


@dataclass(frozen=True, kw_only=True)
class DuplicatePair:
    """An image of `split` and the closest one in `other`, by index in the data set, and their distance, 0 if equal."""

    split: str
    index: int
    other: str
    other_index: int
    distance: float

    @property
    def is_near(self) -> bool:
        return self.distance <= MAX_NEAR_DISTANCE


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Every image that has a candidate with the closest one, closest pairs first.

    compared, available: number of images per split that were compared, and that there are. num_flat: of one colour,
    left out.
    """

    pairs: list[DuplicatePair]
    compared: dict[str, int]
    num_available: dict[str, int]
    num_flat: int

    @property
    def near_pairs(self) -> list[DuplicatePair]:
        return [pair for pair in self.pairs if pair.is_near]

    def num_near(self, split: str, other: str) -> int:
        """Number of images of `split` that have a near-duplicate in `other`."""
        return sum((pair.split, pair.other) == (split, other) for pair in self.near_pairs)


def build_cosine_matrix(num: int) -> Tensor:
    """The lowest `FREQUENCIES` rows of the discrete cosine transform of `num` values, float32 [FREQUENCIES, num]."""
    frequency, place = torch.arange(FREQUENCIES)[:, None], torch.arange(num)
    return (math.pi / num * (place + 0.5) * frequency).cos()


def compute_hash_bits(images: Tensor) -> Tensor:
    """Uint8 [B, 3, 32, 32] → float32 [B, 63], 1 for frequencies above the median of the image and −1 for the others."""
    grey = images.float().mean(1)
    waves = build_cosine_matrix(HASHED_SIDE)
    low = (waves @ grey @ waves.T).flatten(1)[:, 1:]
    return torch.where(low > low.median(1, keepdim=True).values, 1.0, -1.0)


def standardize(thumbnails: Tensor) -> Tensor:
    """Uint8 [N, D] → float32 [N, D], rows of mean 0 and standard deviation 1."""
    values = thumbnails.float()
    centred = values - values.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


def load_squares(images: Images, indices: Tensor, side: int) -> Tensor:
    """The images `indices`, int64 [B], resized to squares with antialiasing: uint8 [B, 3, side, side]."""
    rows_by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    picked = indices.tolist()
    for row, index in enumerate(picked):
        rows_by_shape[images.size(index)].append(row)
    squares = torch.empty(len(picked), 3, side, side, dtype=torch.uint8)
    for rows in rows_by_shape.values():
        same = torch.stack([images.image(picked[row]).permute(1, 2, 0) for row in rows]).permute(0, 3, 1, 2)
        squares[rows] = interpolate(same, side, side)
    return squares


def hash_images(images: Images, indices: Tensor) -> ImageHashes:
    """Hashes and thumbnails of the images `indices`, int64 [N]; one chunk of them is decoded at a time."""
    bits, thumbnails = [], []
    for part in indices.split(CHUNK):
        small = load_squares(images, part, HASHED_SIDE)
        bits.append(compute_hash_bits(small))
        tiny = interpolate(small.contiguous(memory_format=torch.channels_last), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        thumbnails.append(tiny.flatten(1))
    kept = torch.cat(thumbnails)
    flat = torch.cat([part.float().std(1, correction=0) < MIN_SD for part in kept.split(CHUNK)])
    return ImageHashes(indices=indices, bits=torch.cat(bits), thumbnails=kept, flat=flat)


def find_closest(queries: ImageHashes, gallery: ImageHashes) -> tuple[Tensor, Tensor]:
    """The closest candidate of each query: row of the gallery, int64 [N], and distance, float32 [N], inf if none."""
    candidates = min(NUM_CANDIDATES, len(gallery.indices))
    rows, distances = [], []
    for start in range(0, len(queries.indices), CHUNK):
        cut = slice(start, start + CHUNK)
        agreement = queries.bits[cut] @ gallery.bits.T
        agreement[:, gallery.flat] = -torch.inf
        most = agreement.topk(candidates, dim=1)
        differing = (queries.bits.shape[1] - most.values) / 2
        candidates_z = standardize(gallery.thumbnails[most.indices].flatten(0, 1)).view(*most.indices.shape, -1)
        distance = (candidates_z - standardize(queries.thumbnails[cut])[:, None]).square().mean(2).sqrt()
        distance[(differing > MAX_DIFFERING_BITS) | queries.flat[cut, None]] = torch.inf
        best = distance.min(1)
        rows.append(most.indices.gather(1, best.indices[:, None])[:, 0])
        distances.append(best.values)
    return torch.cat(rows), torch.cat(distances)


def choose_compared_images(data: DataSet, split: str) -> Tensor:
    """The images of a split that are compared, int64 [n]: all, or a stratified sample of a large split."""
    indices: Tensor = vars(data)[split]
    return torch.from_numpy(limit_indices(indices.numpy(), data.labels.numpy(), MAX_COMPARED_IMAGES[split], seed=0))


def find_duplicates(data: DataSet) -> Duplicates:
    """Find the closest candidates of val and test images in train, and of test images in val."""
    hashed = {split: hash_images(data.images, choose_compared_images(data, split)) for split in MAX_COMPARED_IMAGES}
    pairs = []
    for split, other in SEARCHED_SPLITS:
        rows, distances = find_closest(hashed[split], hashed[other])
        for row in distances.isfinite().nonzero().flatten().tolist():
            pairs.append(
                DuplicatePair(
                    split=split,
                    index=int(hashed[split].indices[row]),
                    other=other,
                    other_index=int(hashed[other].indices[rows[row]]),
                    distance=distances[row].item(),
                )
            )
    return Duplicates(
        pairs=sorted(pairs, key=lambda pair: (pair.distance, pair.index)),
        compared={split: len(each.indices) for split, each in hashed.items()},
        num_available={split: len(vars(data)[split]) for split in hashed},
        num_flat=sum(int(each.flat.sum()) for each in hashed.values()),
    )
