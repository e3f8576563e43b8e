"""Near-duplicates across splits: images of val or test that are almost equal to one of train, which inflates scores.

Compared are standardized thumbnails: z = (x − mean) / sd over 16 × 16 × 3 values, distance = √mean((z − z')²)
= √(2·(1 − correlation)), which does not depend on brightness and contrast. Left out are images of (almost) one
colour.

Paper: Barz & Denzler 2019, Do we train on test data?, arXiv 1902.00423 (3.3 % and 10 % of the test images of CIFAR-10
and CIFAR-100 have a near-duplicate in train)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.data.resize import interpolate
from sota_exp.data.splits import limit_indices
from sota_exp.stages.data import DataSet

#: Side in pixels of a thumbnail.
THUMBNAIL_SIDE = 16

#: Distance up to which two images are near-duplicates: a correlation of 0.989. Measured: JPEG at quality 60 gives
#: 0.05-0.11, half the size at most 0.04, different digits on the same photograph 0.17, different photographs 0.3.
MAX_NEAR_DISTANCE = 0.15

#: Standard deviation within the channels of a thumbnail, of 255 levels, below which an image is of one colour.
MIN_SD = 4.0

#: Most images of a split that are compared; 50,000 against 10,000 take 20 s on two cores.
MAX_COMPARED_IMAGES = {"train": 50_000, "val": 10_000, "test": 10_000}

#: Images that are compared at a time.
CHUNK = 256

#: (split, other): for the images of split, copies are searched in other.
SEARCHED_SPLITS = (("val", "train"), ("test", "train"), ("test", "val"))


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
    """Every image of val and test with the closest one, closest pairs first.

    compared, num_available: number of images per split that were compared, and that there are.
    """

    pairs: list[DuplicatePair]
    compared: dict[str, int]
    num_available: dict[str, int]

    @property
    def near_pairs(self) -> list[DuplicatePair]:
        return [pair for pair in self.pairs if pair.is_near]

    def num_near(self, split: str, other: str) -> int:
        """Number of images of `split` that have a near-duplicate in `other`."""
        return sum((pair.split, pair.other) == (split, other) for pair in self.near_pairs)


def read_thumbnails(data: DataSet, split: str) -> tuple[Tensor, Tensor]:
    """Indices, int64 [N], and standardized thumbnails, float32 [N, 768], of a split: of a sample if it is large."""
    picked = limit_indices(vars(data)[split].numpy(), data.labels.numpy(), MAX_COMPARED_IMAGES[split], seed=0)
    small = [interpolate(data.images.image(index)[None], THUMBNAIL_SIDE, THUMBNAIL_SIDE) for index in picked.tolist()]
    values = torch.cat(small).flatten(1).float()
    sd, mean = torch.std_mean(values, 1, correction=0, keepdim=True)
    # An image of one saturated colour varies between its channels alone, and resembles every image of that colour.
    kept = values.unflatten(1, (3, -1)).std(2, correction=0).square().mean(1).sqrt() >= MIN_SD
    return torch.from_numpy(picked)[kept], ((values - mean) / sd)[kept]


def find_closest(queries: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """The closest row of the gallery, float32 [M, D], to each query, float32 [N, D]: int64 [N], and distances [N]."""
    rows = torch.cat([(part @ gallery.T).argmax(1) for part in queries.split(CHUNK)])
    return rows, (queries - gallery[rows]).square().mean(1).sqrt()


def find_duplicates(data: DataSet) -> Duplicates:
    """Find the closest images of val and test images in train, and of test images in val."""
    thumbnails = {split: read_thumbnails(data, split) for split in MAX_COMPARED_IMAGES}
    pairs = []
    for split, other in SEARCHED_SPLITS:
        (indices, queries), (other_indices, gallery) = thumbnails[split], thumbnails[other]
        if not len(queries) or not len(gallery):
            continue
        rows, distances = find_closest(queries, gallery)
        found = zip(indices.tolist(), other_indices[rows].tolist(), distances.tolist(), strict=True)
        pairs += [
            DuplicatePair(split=split, index=index, other=other, other_index=other_index, distance=distance)
            for index, other_index, distance in found
        ]
    return Duplicates(
        pairs=sorted(pairs, key=lambda pair: (pair.distance, pair.index)),
        compared={split: len(indices) for split, (indices, _) in thumbnails.items()},
        num_available={split: len(vars(data)[split]) for split in thumbnails},
    )
