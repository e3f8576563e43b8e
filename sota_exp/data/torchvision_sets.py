"""Data sets that torchvision reads: arguments and sizes of their splits, and the source of their files."""

import errno
import itertools
import re
import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torchvision
from filelock import FileLock

from sota_exp.config.data_paths import expand_home
from sota_exp.data.image_files import decode_split
from sota_exp.data.store import open_data_set
from sota_exp.data.store_writer import TEST, TRAIN, VAL, StoreContents
from sota_exp.errors import RunFailed
from sota_exp.stages.data import DataSet, DataSource
from sota_exp.stages.stage import Pixels, one_of

# Part of the names of stores: increment it whenever the pixels change.
PIXELS_VERSION = 1

# Without it, members of archives that torchvision unpacks could lie, or lead by a link, outside of the folder.
tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)

#: Socket timeout in seconds; torchvision itself has none.
SOCKET_TIMEOUT = 10.0


class SplitArgument(NamedTuple):
    """A split, the arguments of torchvision's class that select it, and its number of images."""

    split: int
    argument: dict[str, Any]
    num_images: int


@dataclass(frozen=True, kw_only=True)
class TorchvisionFiles:
    """A data set as torchvision reads it.

    files: the paths, relative to its root, of the files that torchvision reads. url: where they come from.
    arguments: of torchvision's class, beside root and split. classes: class names, where torchvision's class has none.
    """

    parts: tuple[SplitArgument, ...]
    files: tuple[str, ...]
    url: str
    arguments: dict[str, Any] = field(default_factory=lambda: {"download": True})
    classes: tuple[str, ...] = ()


#: Names of torchvision's classes.
NAMES = (
    "CIFAR10",
    "CIFAR100",
    "SVHN",
    "FashionMNIST",
    "Flowers102",
    "OxfordIIITPet",
    "Food101",
    "StanfordCars",
    "Imagenette",
)

#: Name of torchvision's class → data set.
DATA_SETS = {
    "CIFAR10": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"train": True}, 50_000), SplitArgument(TEST, {"train": False}, 10_000)),
        files=("cifar-10-python.tar.gz",),
        url="https://www.cs.toronto.edu/~kriz/",
    ),
    "CIFAR100": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"train": True}, 50_000), SplitArgument(TEST, {"train": False}, 10_000)),
        files=("cifar-100-python.tar.gz",),
        url="https://www.cs.toronto.edu/~kriz/",
    ),
    "SVHN": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"split": "train"}, 73_257), SplitArgument(TEST, {"split": "test"}, 26_032)),
        files=("train_32x32.mat", "test_32x32.mat"),
        url="http://ufldl.stanford.edu/housenumbers/",
        classes=tuple("0123456789"),
    ),
    "FashionMNIST": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"train": True}, 60_000), SplitArgument(TEST, {"train": False}, 10_000)),
        files=tuple(
            f"FashionMNIST/raw/{name}-ubyte.gz"
            for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
        ),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    "Flowers102": TorchvisionFiles(
        parts=(
            SplitArgument(TRAIN, {"split": "train"}, 1_020),
            SplitArgument(VAL, {"split": "val"}, 1_020),
            SplitArgument(TEST, {"split": "test"}, 6_149),
        ),
        files=("flowers-102/102flowers.tgz", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"),
        url="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ),
    "OxfordIIITPet": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"split": "trainval"}, 3_680), SplitArgument(TEST, {"split": "test"}, 3_669)),
        files=("oxford-iiit-pet/images.tar.gz", "oxford-iiit-pet/annotations.tar.gz"),
        url="https://www.robots.ox.ac.uk/~vgg/data/pets/data/",
    ),
    "Food101": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"split": "train"}, 75_750), SplitArgument(TEST, {"split": "test"}, 25_250)),
        files=("food-101.tar.gz",),
        url="http://data.vision.ee.ethz.ch/cvl/",
    ),
    "StanfordCars": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"split": "train"}, 8_144), SplitArgument(TEST, {"split": "test"}, 8_041)),
        files=tuple(
            f"stanford_cars/{name}" for name in ("cars_train", "cars_test", "devkit", "cars_test_annos_withlabels.mat")
        ),
        url="copies listed at https://github.com/pytorch/vision/issues/7545, as the authors' site is gone",
        arguments={},
    ),
    "Imagenette": TorchvisionFiles(
        parts=(SplitArgument(TRAIN, {"split": "train"}, 9_469), SplitArgument(TEST, {"split": "val"}, 3_925)),
        files=("imagenette2-320.tgz",),
        url="https://s3.amazonaws.com/fast-ai-imageclas/",
        arguments={"download": True, "size": "320px"},
    ),
}


@contextmanager
def set_socket_timeout(seconds: float) -> Iterator[None]:
    """While entered, new sockets have this timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet(DataSource):
    """A data set that torchvision downloads, checks and reads; decoded once into a store.

    dataset: the class in `torchvision.datasets`. root: the folder of its files, also for downloads; null: the cache.
    """

    dataset: Annotated[str, one_of(*NAMES)]
    root: str | None
    max_side: Pixels | None

    def __call__(self) -> DataSet:
        key = f"{self.dataset.lower()}-{self.max_side or 'full'}-{PIXELS_VERSION}"
        return open_data_set(self, key, self.contents)

    @property
    def folder(self) -> Path:
        """The `root` of torchvision's class."""
        return expand_home(self.root or Path(self.cache) / "downloads").absolute()

    def contents(self) -> StoreContents:
        """The class names and the decoded images of all splits."""
        opened = self.open_splits()
        names = DATA_SETS[self.dataset].classes or opened[0].classes
        first = [name if isinstance(name, str) else name[0] for name in names]  # Imagenette's are tuples of synonyms
        samples = (
            decode_split(
                images.__getitem__,
                len(images),
                part.split,
                self.max_side,
                self.name,
                f"for {part.argument} in {self.folder}",
            )
            for part, images in zip(DATA_SETS[self.dataset].parts, opened, strict=True)
        )
        return StoreContents(first, itertools.chain.from_iterable(samples))

    def open_splits(self) -> list[Any]:
        """torchvision's object for each split; its files are downloaded and unpacked where they do not exist.

        Raises:
            RunFailed: there is no connection, or the files are damaged or incomplete.
        """
        published, cls = DATA_SETS[self.dataset], vars(torchvision.datasets)[self.dataset]
        lock = expand_home(self.cache) / "downloads" / f".{self.dataset}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock), set_socket_timeout(SOCKET_TIMEOUT):
            try:
                opened = [cls(self.folder, **published.arguments, **part.argument) for part in published.parts]
            except MemoryError:
                raise
            except Exception as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise
                raise self.describe_failure(error) from error
        for part, images in zip(published.parts, opened, strict=True):
            if len(images) != part.num_images:  # unpacking was interrupted, which torchvision does not notice
                raise RunFailed(
                    f"{self.name} is incomplete: {len(images)} of {part.num_images} images for {part.argument} in "
                    f"{self.folder}. Remove the files that torchvision unpacked there, and it unpacks them again"
                )
        return opened

    def describe_failure(self, error: Exception) -> RunFailed:
        """The error to raise for torchvision's error: its cause, the files that are needed, and where to put them."""
        published = DATA_SETS[self.dataset]
        cause = re.sub(r"<urlopen error (.*?)>", r"\1", " ".join(str(error).split())).rstrip(".")
        existing = [name for name in published.files if (self.folder / name).exists()]
        note = f" (existing, complete or not: {', '.join(existing)})" if existing else ""
        return RunFailed(
            f"{self.name} is not available: {cause}. torchvision needs {', '.join(published.files)} in {self.folder}"
            f"{note}, from {published.url}; put them there by hand, or set data.root=DIR to a folder that has them, or "
            "data.cache=DIR to another cache. data=animals_on_photos needs no download"
        )
