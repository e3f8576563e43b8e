"""Large sets: listed once a machine, known by names, sizes and a sample of contents, and the same whatever the times."""

import hashlib
import io
import json
import logging
import os
import pickle
import shutil
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from sota_exp.data import image_files, shared_listing, stream_index
from sota_exp.data.decode import DECODING
from sota_exp.data.image_files import hash_listing
from sota_exp.data.image_folder import find_folder_images
from sota_exp.data.listing import Listing, ListingWriter, Names, open_listing
from sota_exp.data.listing_state import read_state
from sota_exp.data.read_files import Progress, read_all
from sota_exp.data.resize import center_crop
from sota_exp.data.shared_listing import listed_since, share_listing
from sota_exp.training.trained_on import count_trained_on, list_digests
from tests.data.test_streaming import losses, of_folder, opened, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for index in range(40):
        place = root / f"class_{index % 4}"
        place.mkdir(parents=True, exist_ok=True)
        exif = picture(0, 8, 8).getexif()
        exif[0x0112] = 6 if index % 5 == 0 else 1
        picture(index, 60 + index % 3 * 40, 90).save(place / f"{index:02d}.jpg", quality=95, exif=exif)
    picture(1, 50, 60).save(root / "class_0" / "plain.png")
    return root


def sampled(folder: Path, *overrides: str) -> Any:
    return opened(folder, "0", "data.digest=sampled", *overrides)


def unsampled(folder: Path) -> Path:
    """A JPEG that is not in the sample of five."""
    listing = find_folder_images(folder)
    digest = {
        image.path: stream_index.hash_name(name, int(size))
        for image, name, size in zip(listing, listing.names(), listing.rows["size"], strict=True)
    }
    path = max((path for path in digest if str(path).endswith("jpg")), key=lambda path: digest[path])
    assert isinstance(path, Path)
    return path


def flip_a_bit(path: Path) -> None:
    """Other contents of the same size, in the last bytes of a JPEG."""
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)


def test_a_copy_with_other_times_is_the_same_set(folder: Path, tmp_path: Path) -> None:
    before = sampled(folder)
    shutil.copytree(folder, tmp_path / "elsewhere" / "copy", copy_function=shutil.copy)
    for path in (tmp_path / "elsewhere" / "copy").rglob("*.*"):
        os.utime(path, (1, 1))
    after = sampled(tmp_path / "elsewhere" / "copy")
    assert after.digest == before.digest and after.digest.startswith("sampled-")
    assert torch.equal(after.image_digests, before.image_digests)


def test_names_sizes_and_the_sample_are_the_identity(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_index, "NUM_HASHED", 5)
    first, whole, path = sampled(folder).digest, opened(folder, "0").digest, unsampled(folder)
    flip_a_bit(path)
    assert sampled(folder).digest == first and opened(folder, "0", "data.digest=full").digest != whole
    path.write_bytes(path.read_bytes() + b"\0")
    assert sampled(folder).digest != first
    path.write_bytes(path.read_bytes()[:-1])
    assert sampled(folder).digest == first
    path.rename(path.with_name("other.jpg"))
    assert sampled(folder).digest != first
    path.with_name("other.jpg").rename(path)
    monkeypatch.setattr(stream_index, "NUM_HASHED", 1000)
    second = sampled(folder).digest
    flip_a_bit(path)
    assert sampled(folder).digest != second


def test_only_the_sample_is_read_and_only_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_index, "NUM_HASHED", 5)
    read: list[str] = []
    for name in ("hash_file", "read_header"):
        real = getattr(stream_index, name)
        monkeypatch.setattr(stream_index, name, lambda path, real=real: read.append(path.name) or real(path))
    sampled(folder)
    assert len(set(read)) == 6 and "plain.png" in read  # five, and what may have 16 bits
    read.clear()
    for path in folder.rglob("*.jpg"):
        os.utime(path)
    data = sampled(folder)
    assert len(set(read)) == 6
    read.clear()
    assert sampled(folder).digest == data.digest and read == []


@pytest.mark.parametrize("size", [16, 70])
def test_images_are_those_of_the_whole_index(folder: Path, size: int) -> None:
    one, other = sampled(folder).images, opened(folder, "0").images
    indices = torch.arange(41)
    assert torch.equal(one.sizes(indices), other.sizes(indices))
    assert torch.equal(center_crop(one, indices, size, size), center_crop(other, indices, size, size))


def test_training_is_the_same_to_the_bit_with_workers_and_a_shared_listing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("data.store_gigabytes=0", "augmentation=torchvision")
    expected = losses(of_folder(folder, *words))
    monkeypatch.setattr(shared_listing, "LARGE", 10)
    for workers in (0, 2):
        assert losses(of_folder(folder, *words, "data.digest=sampled", f"runtime.workers={workers}")) == expected


def test_auto_samples_large_sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(folder, "0").knows_contents
    monkeypatch.setattr(image_files, "LARGE", 41)
    assert not opened(folder, "0").knows_contents and opened(folder, "0", "data.digest=full").knows_contents


def test_a_large_listing_is_mapped_and_small_to_send(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_listing, "LARGE", 41)
    data = sampled(folder)
    listing = data.images.files
    assert isinstance(listing.rows, np.memmap) and listing.place is not None
    assert len(pickle.dumps(listing)) < 500
    again = pickle.loads(pickle.dumps(data.images))
    assert again.files[:] == listing[:] == find_folder_images(folder)[:]
    assert torch.equal(again.image(3), data.images.image(3))


def test_processes_that_wait_do_not_list_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_listing, "LARGE", 1)
    made: list[int] = []

    def make() -> Listing:
        made.append(1)
        time.sleep(0.3)
        return listing_of(tmp_path, ["a/1.jpg", "b/2.jpg"])

    found: list[Listing] = []
    began = time.time()

    def share() -> None:
        with listed_since(began):
            found.append(share_listing(str(tmp_path), ["x"], make))

    ranks = [threading.Thread(target=share) for _ in range(4)]
    for rank in ranks:
        rank.start()
        time.sleep(0.01)
    for rank in ranks:
        rank.join()
    assert len(made) == 1 and len({listing.place for listing in found}) == 1
    share_listing(str(tmp_path), ["x"], make)  # a later command looks again
    assert len(made) == 2
    place = found[0].place
    assert place is not None
    (place / "rows.npy").write_bytes(b"damaged")
    assert share_listing(str(tmp_path), ["x"], make)[:] == listing_of(tmp_path, ["a/1.jpg", "b/2.jpg"])[:]


def test_files_that_came_while_another_command_listed_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that waited for it list once more."""
    monkeypatch.setattr(shared_listing, "LARGE", 1)
    files, made = ["a/1.jpg"], list[int]()

    def make() -> Listing:
        made.append(len(files))
        listed = [*files]
        time.sleep(0.1)
        return listing_of(tmp_path, listed)

    found: list[int] = []
    commands = [
        threading.Thread(target=lambda: found.append(len(share_listing(str(tmp_path), ["x"], make)))) for _ in range(4)
    ]
    commands[0].start()
    while not made:
        time.sleep(0.001)
    files.append("b/2.jpg")
    for command in commands[1:]:
        command.start()
    for command in commands:
        command.join()
    assert sorted(found) == [1, 2, 2, 2] and made[0] == 1


def test_a_cache_that_cannot_be_written_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_listing, "LARGE", 1)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "listings").write_text("a file")
    found = share_listing(str(tmp_path / "cache"), [], lambda: listing_of(tmp_path, ["a/1.jpg"]))
    assert found.place is None and found[0].class_name == "a"


def listing_of(root: Path, names: list[str]) -> Listing:
    writer = ListingWriter(root)
    for name in names:
        writer.add([name], [read_state(root / name)], [name.split("/")[0]], 0)
    return writer.finish()


def test_a_listing_keeps_any_name(tmp_path: Path) -> None:
    names = ["a/é.jpg", "a/\udcff.jpg", "a/ .jpg", "b/x/y.jpg", "ü/1.jpg"]
    listing = listing_of(tmp_path, names)
    (tmp_path / "kept").mkdir()
    listing.save(tmp_path / "kept")
    for each in (listing, open_listing(tmp_path / "kept"), pickle.loads(pickle.dumps(listing))):
        assert list(each.names()) == names == list(Names(each)) and Names(each)[-1] == names[-1]
        assert [image.path for image in each] == [tmp_path / name for name in names]
        assert each.take([3, 1])[:] == [each[3], each[1]] and each[-1] == each[4] and each[::2] == each[:][::2]
    renamed = listing.rename_classes({"b": "a"})
    assert renamed.find_classes() == {"a", "ü"} and renamed.get_labels(["ü", "a"]).tolist() == [1, 1, 1, 1, 0]


def test_the_key_of_a_store_is_as_before(folder: Path) -> None:
    """Written out as it was when each image was an object: no store is built again."""
    shutil.copytree(folder / "class_0", folder / "class_0" / "a", dirs_exist_ok=True)
    (folder / "class_0" / "a.jpg").write_bytes((folder / "class_0" / "00.jpg").read_bytes())
    found = find_folder_images(folder)
    rows = []
    for path, name, split in sorted(found[:]):
        assert isinstance(path, Path)
        rows.append((os.path.relpath(path, folder), path.stat().st_size, path.stat().st_mtime_ns, name, split))
    text = json.dumps([DECODING, 64, None, rows, ["x", "y"]])
    assert hash_listing(found, ["x", "y"], 64) == hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    assert hash_listing(found.take(range(len(found) - 1, -1, -1)), ["x", "y"], 64) == hash_listing(
        found, ["x", "y"], 64
    )


def test_digests_of_names_are_not_compared_with_those_of_contents(folder: Path) -> None:
    names, contents = sampled(folder), opened(folder, "0")
    num = len(names.train)
    assert count_trained_on(names, ("train",), list_digests(names)) == {"train": num}
    assert count_trained_on(contents, ("train",), list_digests(contents)) == {"train": num}
    assert count_trained_on(contents, ("train",), list_digests(names)) is None
    assert count_trained_on(names, ("train",), list_digests(contents)) is None


def test_files_written_since_are_told_where_their_contents_are_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_index, "NUM_HASHED", 5)
    data, everything = sampled(folder), torch.arange(41)
    since = time.time() + 0.05
    time.sleep(0.1)
    assert data.images.find_changed(everything, data.image_digests, since) == []
    flip_a_bit(unsampled(folder))
    caplog.clear()
    assert data.images.find_changed(everything, data.image_digests, since) == []
    assert "1 of 41 images were written since this run began" in caplog.text and "data.digest=full" in caplog.text
    digests = np.where([name.endswith("jpg") for name in data.names], data.image_digests, 2**62)
    inside = int(np.argmin(digests))
    flip_a_bit(data.images.files.path(inside))
    assert data.images.find_changed(everything, data.image_digests, since) == [inside]


def test_a_long_reading_says_how_far_it_is(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("sota_exp.data.read_files.time.monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO):
        progress = Progress("read", 2_000_000)
        for _ in range(4):
            now[0] += 6
            progress.add(100_000)
    assert caplog.messages == [
        "read 200,000 of 2,000,000 images, 16,667/s, 2 min left",
        "read 400,000 of 2,000,000 images, 16,667/s, 96 s left",
    ]


def test_on_a_terminal_a_long_reading_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sota_exp.data.read_files.is_watched", lambda: True)
    monkeypatch.setattr("rich.console.Console", partial(Console, file=out, force_terminal=True, width=100))
    read = read_all(str, range(200), count_bytes=lambda _: 5_000_000)
    assert list(read) == [str(each) for each in range(200)]
    told = out.getvalue()
    assert "reading" in told and "200/200 images  100 %" in told
    assert "  1.0 GB in all  " in told and "/s  0 s left" in told


def test_a_file_of_other_kind_is_never_listed_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "a" / "1.jpg")
    Image.new("RGB", (9, 9)).save(tmp_path / "b" / "2.jpg")
    os.symlink(tmp_path / "gone", tmp_path / "a" / "dangling.jpg")
    listing = find_folder_images(tmp_path)
    assert list(listing.names()) == ["a/1.jpg", "a/dangling.jpg", "b/2.jpg"]
    assert listing.rows["size"][1] == 0
