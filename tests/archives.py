"""Tiny sets in the formats that torchvision reads from disk: 64 training, 20 validation and 20 test images of four classes.

The pixels of image `index` of a part are `pixels(part, index)`, its label is `index % 4`; JPEG keeps them but nearly.
"""

import gzip
import json
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

from sota_exp.data import torchvision_sets
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from sota_exp.data.torchvision_sets import DATA_SETS

COUNTS = {TRAIN: 64, VAL: 20, TEST: 20}
NAMES = ("apple", "bear", "cup", "dog")
WNIDS = ("n01440764", "n02102040", "n02979186", "n03000684")


def pixels(part: int, index: int, side: int = 32) -> np.ndarray:
    """A smooth picture that tells its part, index and class: uint8 [side, side, 3]."""
    ramp = np.add.outer(np.arange(side), 2 * np.arange(side)) % 64
    color = np.array([40 * (index % 4) + 20, 40 * part + 20, 2 * index + 10])
    return (ramp[:, :, None] + color).astype(np.uint8)


def labels(part: int) -> list[int]:
    return [index % 4 for index in range(COUNTS[part])]


def jpeg(path: Path, part: int, index: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(part, index, 40)).save(path, format="jpeg", quality=95)


def cifar(folder: Path, files: dict[str, tuple[int, slice]], key: str, meta: tuple[str, str]) -> None:
    """CIFAR's pickles: rows of 3,072 bytes, channel by channel."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (part, rows) in files.items():
        images = np.stack([pixels(part, index) for index in range(COUNTS[part])])[rows]
        content = {"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1), key: labels(part)[rows]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / meta[0]).write_bytes(pickle.dumps({meta[1]: list(NAMES)}))


def cifar10(root: Path) -> None:
    files = {f"data_batch_{number}": (TRAIN, slice(13 * number - 13, 13 * number)) for number in range(1, 6)}
    folder = root / "cifar-10-batches-py"
    cifar(folder, files | {"test_batch": (TEST, slice(None))}, "labels", ("batches.meta", "label_names"))


def cifar100(root: Path) -> None:
    files = {"train": (TRAIN, slice(None)), "test": (TEST, slice(None))}
    cifar(root / "cifar-100-python", files, "fine_labels", ("meta", "fine_label_names"))


def svhn(root: Path) -> None:
    """Matlab's arrays [32, 32, 3, N]; the digit 0 has the label 10."""
    for name, part in (("train", TRAIN), ("test", TEST)):
        images = np.stack([pixels(part, index) for index in range(COUNTS[part])], axis=3)
        digits = np.array([label or 10 for label in labels(part)])[:, None]
        savemat(root / f"{name}_32x32.mat", {"X": images, "y": digits})


def fashion_mnist(root: Path) -> None:
    """IDX files: magic number, sizes, bytes; grey, 28 pixels."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, part in (("train", TRAIN), ("t10k", TEST)):
        images = np.stack([pixels(part, index, 28)[:, :, 0] for index in range(COUNTS[part])])
        sizes = np.array([0x803, *images.shape], dtype=">i4").tobytes()
        (folder / f"{name}-images-idx3-ubyte").write_bytes(sizes + images.tobytes())
        sizes = np.array([0x801, len(images)], dtype=">i4").tobytes()
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(sizes + bytes(labels(part)))


def flowers102(root: Path) -> None:
    folder, numbers, ids = root / "flowers-102", [], {}
    for name, part in (("tstid", TEST), ("trnid", TRAIN), ("valid", VAL)):
        ids[name] = np.arange(COUNTS[part]) + len(numbers) + 1
        for index, label in enumerate(labels(part)):
            numbers.append(label + 1)
            jpeg(folder / "jpg" / f"image_{len(numbers):05d}.jpg", part, index)
    savemat(folder / "imagelabels.mat", {"labels": np.array(numbers)})
    savemat(folder / "setid.mat", ids)


def oxford_pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for name, part in (("trainval", TRAIN), ("test", TEST)):
        lines = []
        for index, label in enumerate(labels(part)):
            lines.append(f"{NAMES[label]}_{part}{index:03d} {label + 1} 1 1")
            image = lines[-1].split()[0]
            jpeg(folder / "images" / f"{image}.jpg", part, index)
        (folder / "annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def food101(root: Path) -> None:
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for name, part in (("train", TRAIN), ("test", TEST)):
        images: dict[str, list[str]] = {food: [] for food in NAMES}
        for index, label in enumerate(labels(part)):
            images[NAMES[label]].append(f"{NAMES[label]}/{part}{index:04d}")
            jpeg(folder / "images" / f"{images[NAMES[label]][-1]}.jpg", part, index)
        (folder / "meta" / f"{name}.json").write_text(json.dumps(images))


def stanford_cars(root: Path) -> None:
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(NAMES, dtype=object)})
    for name, part in (("devkit/cars_train_annos", TRAIN), ("cars_test_annos_withlabels", TEST)):
        rows = [(f"{index:05d}.jpg", label + 1) for index, label in enumerate(labels(part))]
        savemat(folder / f"{name}.mat", {"annotations": np.array(rows, dtype=[("fname", object), ("class", np.int64)])})
        for index in range(COUNTS[part]):
            jpeg(folder / ("cars_train" if part == TRAIN else "cars_test") / f"{index:05d}.jpg", part, index)


def class_folders(folder: Path, part: int, suffix: str) -> None:
    for index, label in enumerate(labels(part)):
        jpeg(folder / WNIDS[label] / f"{index:05d}{suffix}", part, index)


def imagenette(root: Path) -> None:
    class_folders(root / "imagenette2-320" / "train", TRAIN, ".jpeg")
    class_folders(root / "imagenette2-320" / "val", TEST, ".jpeg")


def imagenet(root: Path) -> None:
    class_folders(root / "imagenet" / "train", TRAIN, ".JPEG")
    class_folders(root / "imagenet" / "val", TEST, ".JPEG")


#: By option of the group `data`.
WRITERS: dict[str, Callable[[Path], None]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "fashion_mnist": fashion_mnist,
    "flowers102": flowers102,
    "oxford_pets": oxford_pets,
    "food101": food101,
    "stanford_cars": stanford_cars,
    "imagenette": imagenette,
}


def packed(root: Path, folder: str, archive: str) -> None:
    """Move a folder into a gzipped archive beside it, as it is downloaded."""
    with tarfile.open(root / archive, "w:gz") as tar:
        for path in sorted((root / folder).iterdir()):
            tar.add(path, f"{folder}/{path.name}")
            path.unlink()
    (root / folder).rmdir()


def zipped(path: Path) -> None:
    """A gzipped copy beside a file, without it."""
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(path.read_bytes())
    path.unlink()


def admit(monkeypatch: pytest.MonkeyPatch) -> None:
    """While patched, torchvision takes any file for the one that was published, and the sets are as small as these."""

    def is_there(path: str, md5: str | None = None) -> bool:
        return Path(path).is_file()

    for module in vars(torchvision.datasets).values():
        if isinstance(module, ModuleType) and "check_integrity" in vars(module):
            monkeypatch.setattr(module, "check_integrity", is_there)
    small = {
        name: replace(published, parts=tuple(part._replace(num_images=COUNTS[part.split]) for part in published.parts))
        for name, published in DATA_SETS.items()
    }
    monkeypatch.setattr(torchvision_sets, "DATA_SETS", small)
