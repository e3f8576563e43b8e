import errno
import inspect
import socket
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torchvision.datasets.utils import extract_archive

from sota_exp.config.build import build
from sota_exp.data import torchvision_sets
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from sota_exp.data.torchvision_sets import DATA_SETS
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.stages.data import DataSource
from tests import archives
from tests.archives import COUNTS, NAMES, WRITERS
from tests.data.options import read_data_option
from tests.options import options

OPTIONS = sorted(option.name for option in options() if option.target.endswith("torchvision_sets.TorchvisionSet"))

#: Parts of the whole sets, once val is cut where they have none: their authors' numbers.
SIZES = {
    "CIFAR10": (50_000, 0, 10_000),
    "CIFAR100": (50_000, 0, 10_000),
    "SVHN": (73_257, 0, 26_032),
    "FashionMNIST": (60_000, 0, 10_000),
    "Flowers102": (1_020, 1_020, 6_149),
    "OxfordIIITPet": (3_680, 0, 3_669),
    "Food101": (75_750, 0, 25_250),
    "StanfordCars": (8_144, 0, 8_041),
    "Imagenette": (9_469, 0, 3_925),
}
FIRST = {
    "svhn": ("0", "1", "2", "3"),
    "fashion_mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress"),
    "flowers102": ("pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea"),
    "oxford_pets": ("Apple", "Bear", "Cup", "Dog"),
    "imagenette": ("tench", "English springer", "cassette player", "chain saw"),
}
#: The others keep JPEG files.
LOSSLESS = ("cifar10", "cifar100", "svhn", "fashion_mnist")


def source(name, tmp_path, **changes):
    values = read_data_option(name)
    return build(DataSource, values | {"cache": str(tmp_path / "cache")} | changes, "data")


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "cache" / "downloads"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def offline(monkeypatch):
    """Every host name lookup fails."""

    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


def test_data_sets_and_options_correspond():
    assert set(OPTIONS) == set(WRITERS)
    assert {source(name, Path("nowhere")).dataset for name in OPTIONS} == set(DATA_SETS) == set(torchvision_sets.NAMES)


@pytest.mark.parametrize("dataset", DATA_SETS)
def test_torchvision_has_the_class_the_arguments_and_the_address(dataset):
    cls, published = vars(torchvision.datasets)[dataset], DATA_SETS[dataset]
    for part in published.parts:
        inspect.signature(cls).bind(root="", **published.arguments, **part.argument)
    text = inspect.getsource(inspect.getmodule(cls))
    assert published.url in text or dataset == "StanfordCars"
    for name in published.files:
        assert Path(name).name in text
    counts = {part.split: part.num_images for part in published.parts}
    assert tuple(counts.get(split, 0) for split in (TRAIN, VAL, TEST)) == SIZES[dataset]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_original_format_is_read(name, tmp_path, downloads, monkeypatch, offline):
    WRITERS[name](downloads)
    archives.admit(monkeypatch)
    data = source(name, tmp_path)()
    own_val = name == "flowers102"
    assert [len(part) for part in (data.train, data.val, data.test)] == ([64, 20, 20] if own_val else [58, 6, 20])
    assert data.classes[:4] == FIRST.get(name, NAMES)
    order = [
        (split, index) for split in ((TRAIN, VAL, TEST) if own_val else (TRAIN, TEST)) for index in range(COUNTS[split])
    ]
    assert sorted(data.labels.tolist()) == sorted(index % 4 for _, index in order)
    for place in range(0, len(order), 7):
        check_image(data, name, place, order)


def check_image(data, name, place, order):
    image = data.images.image(place).permute(1, 2, 0).numpy().astype(int)
    label = int(data.labels[place])
    split = order[place][0]
    candidates = [
        archives.pixels(split, index, len(image)).astype(int) for index in range(COUNTS[split]) if index % 4 == label
    ]
    if name == "fashion_mnist":
        candidates = [np.repeat(candidate[:, :, :1], 3, axis=2) for candidate in candidates]
    nearest = min(np.abs(candidate - image).mean() for candidate in candidates)
    assert nearest == 0 if name in LOSSLESS else nearest < 6


def test_a_store_needs_no_original_files(tmp_path, downloads, monkeypatch, offline):
    archives.cifar10(downloads)
    archives.admit(monkeypatch)
    first = source("cifar10", tmp_path)()
    (downloads / "cifar-10-batches-py" / "test_batch").unlink()
    assert source("cifar10", tmp_path)().images is first.images
    with pytest.raises(RunFailed, match="cifar10 is not available"):
        source("cifar10", tmp_path, max_side=16)()


def test_root_is_the_folder_of_the_files_and_may_be_read_only(tmp_path, monkeypatch, offline):
    place = tmp_path / "shared"
    archives.cifar100(place)
    archives.admit(monkeypatch)
    place.chmod(0o555)
    try:
        assert len(source("cifar100", tmp_path, root=str(place))().train) == 58
    finally:
        place.chmod(0o755)
    assert not list((tmp_path / "cache" / "downloads").glob("cifar*"))


def test_an_archive_put_there_by_hand_is_unpacked(tmp_path, downloads, monkeypatch, offline):
    archives.cifar10(downloads)
    archives.packed(downloads, "cifar-10-batches-py", "cifar-10-python.tar.gz")
    archives.admit(monkeypatch)
    assert source("cifar10", tmp_path)().classes == NAMES
    archives.fashion_mnist(downloads)
    for path in (downloads / "FashionMNIST" / "raw").iterdir():
        archives.zipped(path)
    assert source("fashion_mnist", tmp_path)().classes[0] == "T-shirt/top"


@pytest.mark.parametrize("name", OPTIONS)
def test_without_a_connection_the_error_is_one_line_with_the_fix(name, tmp_path, offline):
    with pytest.raises(RunFailed) as caught:
        source(name, tmp_path)()
    published = DATA_SETS[source(name, tmp_path).dataset]
    text = str(caught.value)
    said = "Dataset not found" if name == "stanford_cars" else "Name or service not known"
    for part in (
        f"{name} is not available",
        said,
        published.url,
        str(tmp_path / "cache" / "downloads"),
        "data.root=",
        "data.cache=",
    ):
        assert part in text
    assert all(file in text for file in published.files) and "animals_on_photos" in text and "\n" not in text
    assert not list((tmp_path / "cache" / "stores").glob("*/pixels.u8"))


def test_a_damaged_archive_is_noticed(tmp_path, downloads, offline):
    """Found by torchvision's MD5 check, after which it tries to download the file again."""
    (downloads / "cifar-10-python.tar.gz").write_bytes(b"half of it")
    with pytest.raises(RunFailed, match=r"service not known.*existing, complete or not: cifar-10-python\.tar\.gz"):
        source("cifar10", tmp_path)()


def test_an_unreadable_archive_is_one_line(tmp_path, downloads, monkeypatch, offline):
    (downloads / "cifar-10-python.tar.gz").write_bytes(b"no archive")
    archives.admit(monkeypatch)
    with pytest.raises(RunFailed, match="not available: not a gzip file"):
        source("cifar10", tmp_path)()


def test_a_folder_unpacked_halfway_is_noticed(tmp_path, downloads, monkeypatch, offline):
    archives.imagenette(downloads)
    archives.admit(monkeypatch)
    next((downloads / "imagenette2-320" / "train" / "n01440764").iterdir()).unlink()
    with pytest.raises(
        RunFailed, match=r"imagenette is incomplete: 63 of 64 images for {'split': 'train'}.*unpacks them again"
    ):
        source("imagenette", tmp_path)()


def test_an_unreadable_image_is_named_by_set_and_index(tmp_path, downloads, monkeypatch, offline):
    archives.oxford_pets(downloads)
    archives.admit(monkeypatch)
    (downloads / "oxford-iiit-pet" / "images" / "apple_0004.jpg").unlink()
    with pytest.raises(RunFailed, match=r"oxford_pets: image \d+ for {'split': 'trainval'}.*apple_0004.jpg"):
        source("oxford_pets", tmp_path)()


def test_a_silent_host_times_out(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/cifar-10-python.tar.gz"
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", url)
        monkeypatch.setattr(torchvision_sets, "SOCKET_TIMEOUT", 0.2)
        began = time.monotonic()
        with pytest.raises(RunFailed, match="timed out"):
            source("cifar10", tmp_path)()
    assert time.monotonic() - began < 20 and socket.getdefaulttimeout() is None


def test_a_full_disk_is_reported_as_such(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", full)
    with pytest.raises(OSError, match="No space left"):
        source("cifar10", tmp_path)()


def test_max_side(tmp_path, downloads, monkeypatch, offline):
    archives.food101(downloads)
    archives.admit(monkeypatch)
    assert source("food101", tmp_path)().images.size(0) == (40, 40)
    assert source("food101", tmp_path, max_side=16)().images.size(0) == (16, 16)


def test_concurrent_threads_download_once(tmp_path, downloads, monkeypatch, offline):
    archives.svhn(downloads)
    archives.admit(monkeypatch)
    sides, found = (8, 16, 24), []
    threads = [
        threading.Thread(target=lambda side=side: found.append(source("svhn", tmp_path, max_side=side)()))
        for side in sides
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {data.images.size(0) for data in found} == {(side, side) for side in sides}
    assert all(torch.equal(data.labels, found[0].labels) for data in found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"dataset": "MNIST"}, "dataset=MNIST is not legal: one of CIFAR10"), ({"max_side": 4}, "max_side=4")],
)
def test_illegal_values(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        source("cifar10", tmp_path, **changes)


@pytest.mark.parametrize("name, link", [("../out", ""), ("/tmp/out", ""), ("in", "/etc/passwd"), ("in", "../../out")])
def test_no_member_of_an_archive_leaves_the_folder(name, link, tmp_path):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = (tarfile.SYMTYPE, link) if link else (tarfile.REGTYPE, "")
    (tmp_path / "below").mkdir()
    with tarfile.open(tmp_path / "below" / "evil.tar", "w") as archive:
        archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    if name == "/tmp/out":  # the leading slash is dropped, as tar does
        before = sorted([*before, tmp_path / "below" / "tmp", tmp_path / "below" / "tmp" / "out"])
        extract_archive(tmp_path / "below" / "evil.tar", tmp_path / "below")
    else:
        with pytest.raises(tarfile.FilterError):
            extract_archive(tmp_path / "below" / "evil.tar", tmp_path / "below")
    assert sorted(tmp_path.rglob("*")) == before
