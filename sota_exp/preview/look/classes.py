"""How many images each class has in each split, and whether that is too uneven to learn from as it is."""

from dataclasses import dataclass

from sota_exp.stages.data import DataSet

#: A class with fewer training images than this is warned about.
FEW_IMAGES = 10

#: Largest over smallest class in training beyond which is warned; the larger, the more accuracy it costs (Buda, Maki,
#: Mazurowski 2017, arXiv:1710.05381).
UNEVEN = 10.0


@dataclass(frozen=True, kw_only=True)
class ClassBalance:
    """Images per class, in the order of `classes`, for each of train, val and test."""

    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]

    @property
    def largest(self) -> tuple[str, int]:
        """The class with most training images, and how many."""
        train = self.counts["train"]
        place = train.index(max(train))
        return self.classes[place], train[place]

    @property
    def smallest(self) -> tuple[str, int]:
        train = self.counts["train"]
        place = train.index(min(train))
        return self.classes[place], train[place]

    @property
    def ratio(self) -> float:
        """Largest over smallest class in training; infinite where a class has no image."""
        return self.largest[1] / self.smallest[1] if self.smallest[1] else float("inf")

    @property
    def scarce(self) -> list[str]:
        """Classes with fewer than `FEW_IMAGES` training images, the scarcest first."""
        few = [(num, name) for name, num in zip(self.classes, self.counts["train"], strict=True) if num < FEW_IMAGES]
        return [name for _, name in sorted(few)]


def class_balance(data: DataSet) -> ClassBalance:
    """Counts over the splits as they are trained and evaluated on."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    num = len(data.classes)
    counts = {name: tuple(data.labels[split].bincount(minlength=num).tolist()) for name, split in splits.items()}
    return ClassBalance(classes=data.classes, counts=counts)
