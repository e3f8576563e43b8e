"""Published sets that torchvision reads: what each part is called there, how large it is, and where the files come from."""

import errno
import itertools
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torchvision
from filelock import FileLock

from sota_exp.data.decode import UNREADABLE, streamed, upright
from sota_exp.data.image_files import DECODING, require_max_side, stored
from sota_exp.data.store import data_set, open_or_build
from sota_exp.data.store_writer import TEST, TRAIN, VAL, Contents, Sample
from sota_exp.errors import RunFailed
from sota_exp.stages.data import DataSet, Source
from sota_exp.stages.stage import require

#: Seconds of silence after which a connection has failed; torchvision itself waits forever.
PATIENCE = 10.0


class Part(NamedTuple):
    """One of our parts: the argument that asks torchvision for it, and how many images it has."""

    split: int
    argument: dict[str, Any]
    num_images: int


@dataclass(frozen=True, kw_only=True)
class Published:
    """A set as torchvision reads it.

    files: what torchvision unpacks or reads, by path below its root. url: where these are from.
    arguments: what its class takes beside root and part. classes: their names, where its class has none.
    """

    parts: tuple[Part, ...]
    files: tuple[str, ...]
    url: str
    arguments: dict[str, Any] = field(default_factory=lambda: {"download": True})
    classes: tuple[str, ...] = ()


def parts(argument: str, train: tuple[Any, int], test: tuple[Any, int], val: tuple[Any, int] | None = None) -> Any:
    """Parts from (value of the argument, number of images)."""
    named = {TRAIN: train, VAL: val, TEST: test}
    return tuple(Part(split, {argument: part[0]}, part[1]) for split, part in named.items() if part is not None)


#: By the name of torchvision's class.
SETS = {
    "CIFAR10": Published(
        parts=parts("train", train=(True, 50_000), test=(False, 10_000)),
        files=("cifar-10-python.tar.gz",),
        url="https://www.cs.toronto.edu/~kriz/",
    ),
    "CIFAR100": Published(
        parts=parts("train", train=(True, 50_000), test=(False, 10_000)),
        files=("cifar-100-python.tar.gz",),
        url="https://www.cs.toronto.edu/~kriz/",
    ),
    "SVHN": Published(
        parts=parts("split", train=("train", 73_257), test=("test", 26_032)),
        files=("train_32x32.mat", "test_32x32.mat"),
        url="http://ufldl.stanford.edu/housenumbers/",
        classes=tuple("0123456789"),
    ),
    "FashionMNIST": Published(
        parts=parts("train", train=(True, 60_000), test=(False, 10_000)),
        files=tuple(
            f"FashionMNIST/raw/{name}-ubyte.gz"
            for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
        ),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    "Flowers102": Published(
        parts=parts("split", train=("train", 1_020), val=("val", 1_020), test=("test", 6_149)),
        files=("flowers-102/102flowers.tgz", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"),
        url="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ),
    "OxfordIIITPet": Published(
        parts=parts("split", train=("trainval", 3_680), test=("test", 3_669)),
        files=("oxford-iiit-pet/images.tar.gz", "oxford-iiit-pet/annotations.tar.gz"),
        url="https://www.robots.ox.ac.uk/~vgg/data/pets/data/",
    ),
    "Food101": Published(
        parts=parts("split", train=("train", 75_750), test=("test", 25_250)),
        files=("food-101.tar.gz",),
        url="http://data.vision.ee.ethz.ch/cvl/",
    ),
    "StanfordCars": Published(
        parts=parts("split", train=("train", 8_144), test=("test", 8_041)),
        files=tuple(
            f"stanford_cars/{name}" for name in ("cars_train", "cars_test", "devkit", "cars_test_annos_withlabels.mat")
        ),
        url="copies listed at https://github.com/pytorch/vision/issues/7545, as the authors' site is gone",
        arguments={},
    ),
    "Imagenette": Published(
        parts=parts("split", train=("train", 9_469), test=("val", 3_925)),
        files=("imagenette2-320.tgz",),
        url="https://s3.amazonaws.com/fast-ai-imageclas/",
        arguments={"download": True, "size": "320px"},
    ),
}


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """While entered, a connection that is silent for so long has failed."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet(Source):
    """A set that torchvision downloads, checks and reads; decoded once into the store.

    dataset: the class in `torchvision.datasets`. root: where its files lie, or are downloaded to; null: the cache.
    """

    dataset: str
    root: str | None
    max_side: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.dataset in SETS, "dataset", self.dataset, f"one of {', '.join(SETS)}")
        require_max_side(self.max_side)

    def __call__(self) -> DataSet:
        key = f"{self.dataset.lower()}-{self.max_side or 'full'}-{DECODING}"
        return data_set(open_or_build(self.cache, key, self.contents), self)

    @property
    def place(self) -> Path:
        """The folder that torchvision calls `root`."""
        return Path(self.root or Path(self.cache) / "downloads").expanduser().absolute()

    def contents(self) -> Contents:
        """The names of the classes and the decoded images, of all parts in turn."""
        opened = self.opened()
        names = SETS[self.dataset].classes or opened[0].classes
        first = [name if isinstance(name, str) else name[0] for name in names]  # Imagenette's are tuples of synonyms
        samples = (self.samples(part, images) for part, images in zip(SETS[self.dataset].parts, opened, strict=True))
        return Contents(first, itertools.chain.from_iterable(samples))

    def opened(self) -> list[Any]:
        """torchvision's object for each part, its files downloaded and unpacked where they are not there yet.

        Raises:
            RunFailed: no connection, a damaged or incomplete download: whatever torchvision says, and what to do.
        """
        published, cls = SETS[self.dataset], vars(torchvision.datasets)[self.dataset]
        lock = Path(self.cache).expanduser() / "downloads" / f".{self.dataset}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock), patience(PATIENCE):
            try:
                found = [cls(self.place, **published.arguments, **part.argument) for part in published.parts]
            except MemoryError:
                raise
            except Exception as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise
                raise self.failure(error) from error
        for part, images in zip(published.parts, found, strict=True):
            self.check_complete(part, images)
        return found

    def failure(self, error: Exception) -> RunFailed:
        """What torchvision could not do, in one line, with the files it wants and where."""
        published = SETS[self.dataset]
        said = re.sub(r"<urlopen error (.*?)>", r"\1", " ".join(str(error).split())).rstrip(".")
        there = [name for name in published.files if (self.place / name).exists()]
        damaged = f" (there, whole or not: {', '.join(there)})" if there else ""
        return RunFailed(
            f"{self.name} is not to be had: {said}. torchvision needs {', '.join(published.files)} in {self.place}"
            f"{damaged}, from {published.url}; put them there by hand, or name a folder that has them with data.root=DIR, "
            "or another cache with data.cache=DIR. data=animals_on_photos needs no download"
        )

    def check_complete(self, part: Part, images: Any) -> None:
        """Raise `RunFailed` where unpacking ended halfway, which torchvision does not see."""
        if len(images) != part.num_images:
            raise RunFailed(
                f"{self.name} is incomplete: {len(images)} of {part.num_images} images for {part.argument} in {self.place}. "
                "Remove what torchvision unpacked there, and it unpacks it anew"
            )

    def samples(self, part: Part, images: Any) -> Iterator[Sample]:
        """The images of one part, decoded in threads."""

        def sample(index: int) -> Sample:
            try:
                image, label = images[index]
                return Sample(stored(upright(image), self.max_side), int(label), part.split)
            except UNREADABLE as error:
                raise RunFailed(f"{self.name}: image {index} for {part.argument} in {self.place}: {error}") from error

        return streamed(sample, range(len(images)))
