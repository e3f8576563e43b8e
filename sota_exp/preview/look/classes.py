"""Images per class in each split, scarce classes, and class imbalance."""

from dataclasses import dataclass

from sota_exp.stages.data import DataSet

#: Training images below which a class is warned about.
FEW_IMAGES = 10

#: Ratio of the largest to the smallest class above which is warned; imbalance costs accuracy (Buda, Maki,
#: Mazurowski 2017, arXiv:1710.05381).
MAX_BALANCED_RATIO = 10.0


@dataclass(frozen=True, kw_only=True)
class ClassBalance:
    """Images per class, in the order of `classes`, for each of train, val and test."""

    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]

    @property
    def train_counts(self) -> list[tuple[int, str]]:
        """The number of training images and the name of every class, the smallest class first."""
        return sorted(zip(self.counts["train"], self.classes, strict=True))

    @property
    def ratio(self) -> float:
        """Images of the largest class over those of the smallest, in training; infinite if a class has no image."""
        (least, _), (most, _) = self.train_counts[0], self.train_counts[-1]
        return most / least if least else float("inf")

    @property
    def scarce_classes(self) -> list[str]:
        """Classes with fewer than `FEW_IMAGES` training images, the scarcest first."""
        return [name for num, name in self.train_counts if num < FEW_IMAGES]


def compute_class_balance(data: DataSet) -> ClassBalance:
    """Count the images of every class in the splits."""
    num = len(data.classes)
    counts = {
        split: tuple(data.labels[vars(data)[split]].bincount(minlength=num).tolist())
        for split in ("train", "val", "test")
    }
    return ClassBalance(classes=data.classes, counts=counts)
