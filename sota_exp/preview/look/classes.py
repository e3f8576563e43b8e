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
    def largest_class(self) -> tuple[str, int]:
        """The class with the most training images, and their number."""
        train = self.counts["train"]
        place = train.index(max(train))
        return self.classes[place], train[place]

    @property
    def smallest_class(self) -> tuple[str, int]:
        """The class with the fewest training images, and their number."""
        train = self.counts["train"]
        place = train.index(min(train))
        return self.classes[place], train[place]

    @property
    def ratio(self) -> float:
        """Images of the largest class over those of the smallest, in training; infinite if a class has no image."""
        return self.largest_class[1] / self.smallest_class[1] if self.smallest_class[1] else float("inf")

    @property
    def scarce_classes(self) -> list[str]:
        """Classes with fewer than `FEW_IMAGES` training images, the scarcest first."""
        few = [(num, name) for name, num in zip(self.classes, self.counts["train"], strict=True) if num < FEW_IMAGES]
        return [name for _, name in sorted(few)]


def compute_class_balance(data: DataSet) -> ClassBalance:
    """Count the images of every class in the splits."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    num = len(data.classes)
    counts = {name: tuple(data.labels[split].bincount(minlength=num).tolist()) for name, split in splits.items()}
    return ClassBalance(classes=data.classes, counts=counts)
