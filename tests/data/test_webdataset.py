"""`data=webdataset`: the same samples as the package reads, each once an epoch, local and at an address, to the bit."""

import functools
import http.server
import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import fsspec
import pytest
import torch
import webdataset

from sota_exp.config.data_paths import make_paths_absolute
from sota_exp.data import shared_listing
from sota_exp.data.members import Member
from sota_exp.data.open import open_data
from sota_exp.data.streaming import StreamedImages
from sota_exp.data.train_loader import load_crops
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.runs.trust import is_foreign
from sota_exp.stages.random import RandomStreams
from sota_exp.training.session import build_train_crops
from tests.data.shards import compose_shards
from tests.data.test_streaming import losses, picture

PER_SHARD = 12


def encode(index: int) -> bytes:
    file = io.BytesIO()
    picture(index, 50 + index % 3 * 20, 70).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_shard(path: Path, indices: range, **more: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as writer:
        writer.write({"__key__": "__meta__", "txt": b"no sample"})
        for index in indices:
            sample = {"__key__": f"{index:04d}", "jpg": encode(index), "cls": str(index % 12).encode(), **more}
            writer.write(sample | {"json": json.dumps({"label": f"kind {index % 3}"}).encode()})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shards")
    for shard in range(5):
        write_shard(place / f"set-train-{shard:03d}.tar", range(shard * PER_SHARD, (shard + 1) * PER_SHARD))
    write_shard(place / "set-val-000.tar", range(60, 84))
    return place


def of(root: Path | str, cache: Path, *overrides: str) -> Any:
    return compose_shards("webdataset", root, cache, *overrides)


def opened(root: Path | str, cache: Path, *overrides: str) -> Any:
    return open_data(of(root, cache, *overrides).experiment)


STREAMED = "data.store_gigabytes=0"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_samples_are_those_of_the_package(root: Path, tmp_path: Path) -> None:
    data = opened(root, tmp_path, STREAMED)
    files = data.images.files
    shards = [str(path) for path in sorted(root.glob("*.tar"))]
    theirs = [sample for sample in webdataset.WebDataset(shards, shardshuffle=False) if "jpg" in sample]
    assert len(files) == len(theirs) == 84
    for image, sample, label in zip(files, theirs, data.labels.tolist(), strict=True):
        assert isinstance(image.path, Member)
        assert (image.path.read(), image.class_name) == (sample["jpg"], sample["cls"].decode())
        assert data.classes[label] == sample["cls"].decode()
    assert data.classes == tuple(map(str, range(12)))  # 2 before 10
    assert data.count_images() == {"train": 54, "val": 24, "test": 6}
    assert data.name_image(13) == "set-train-001.tar/0013.jpg"


def test_a_store_has_the_same_images(root: Path, tmp_path: Path) -> None:
    stored, streamed = opened(root, tmp_path), opened(root, tmp_path, STREAMED)
    assert not isinstance(stored.images, StreamedImages)
    assert all(torch.equal(stored.images.image(index), streamed.images.image(index)) for index in range(84))
    assert torch.equal(stored.labels, streamed.labels) and torch.equal(stored.image_digests, streamed.image_digests)


def test_archives_are_indexed_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(root, tmp_path, STREAMED)
    read = Mock()
    monkeypatch.setattr("sota_exp.data.webdataset.read_samples", read)
    assert opened(root, tmp_path, STREAMED).digest == first.digest and not read.called


@pytest.mark.parametrize("workers", [0, 2])
def test_each_image_is_seen_once_an_epoch_over_ranks_and_workers(root: Path, tmp_path: Path, workers: int) -> None:
    experiment = of(root, tmp_path, STREAMED, "batch_size=18", "data.image_size=16").experiment
    data, seen = open_data(experiment), Counter[int]()
    for rank in range(2):
        crops = build_train_crops(experiment, data, "bilinear", RandomStreams(seed=0, rank=rank, world_size=2))
        for _, positions in load_crops(crops, range(3), workers, False):
            seen.update(positions.tolist())
    assert seen == Counter(range(54))


def test_training_is_the_same_from_archives_folders_and_with_workers(root: Path, tmp_path: Path) -> None:
    expected = losses(of(root, tmp_path))
    whole = losses(of(root, tmp_path, STREAMED, "augmentation=torchvision"))
    assert losses(of(root, tmp_path, STREAMED)) != [] and len(expected) == len(whole)
    assert losses(of(root, tmp_path, STREAMED, "augmentation=torchvision", "runtime.workers=2")) == whole


def test_steps_from_the_middle_of_an_epoch_are_those_of_a_whole_one(root: Path, tmp_path: Path) -> None:
    experiment = of(root, tmp_path, STREAMED, "batch_size=18", "data.image_size=16").experiment
    crops = build_train_crops(experiment, open_data(experiment), "bilinear", RandomStreams(seed=0))
    whole, rest = list(load_crops(crops, range(6), 0, False)), list(load_crops(crops, range(2, 6), 2, False))
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.fixture
def server(root: Path) -> Iterator[str]:
    """The folder at an address that answers requests for ranges, as stores of objects do."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (root / self.path.strip("/")).read_bytes()
            first, last = 0, len(content) - 1
            if "Range" in self.headers:
                first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
                last = min(last, len(content) - 1)
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            self.wfile.write(content[first : last + 1])

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str((root / self.path.strip("/")).stat().st_size))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()


def test_archives_at_an_address_are_those_of_the_folder(root: Path, tmp_path: Path, server: str) -> None:
    names = ("data.train='set-train-{000..004}.tar'", "data.val=set-val-000.tar", STREAMED)
    remote, local = opened(server, tmp_path / "a", *names), opened(root, tmp_path / "b", STREAMED)
    assert remote.digest == local.digest and torch.equal(remote.image_digests, local.image_digests)
    assert torch.equal(remote.images.image(7), local.images.image(7))
    words = ("augmentation=torchvision", *names)
    expected = losses(of(root, tmp_path / "b", STREAMED, "augmentation=torchvision"))
    assert [losses(of(server, tmp_path / "a", *words, f"runtime.workers={num}")) for num in (0, 2)] == [expected] * 2


def test_archives_in_memory_can_be_listed(root: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in root.glob("*.tar"):
        memory.pipe(f"/wds/{path.name}", path.read_bytes())
    found = opened("memory://wds", tmp_path / "a", STREAMED)
    assert found.digest == opened(root, tmp_path / "b", STREAMED).digest
    assert found.name_image(0) == "set-train-000.tar/0000.jpg"


def test_an_address_stays_as_it_is(tmp_path: Path) -> None:
    values = {"data": {"root": "s3://bucket/sets", "path": "table.csv"}}
    make_paths_absolute(values)
    assert values["data"] == {"root": "s3://bucket/sets", "path": str(Path.cwd() / "table.csv")}


def test_archives_that_a_run_names_need_trust() -> None:
    assert all(is_foreign(f"data.{key}", "s3://bucket/a.tar") for key in ("root", "train", "val", "test"))


def test_other_labels_and_parts(root: Path, tmp_path: Path) -> None:
    data = opened(root, tmp_path, STREAMED, "data.label=json.label", "data.train='*-000.tar'")
    assert data.classes == ("kind 0", "kind 1", "kind 2") and len(data.labels) == 36
    with pytest.raises(ConfigError, match=r"train=\*train\*\.tar.*each file in one split"):
        opened(root, tmp_path, "data.train='*train*.tar'", "data.val='*.tar'")
    with pytest.raises(ConfigError, match=r"val=dev\*\.tar .*there are none such"):
        opened(root, tmp_path, "data.train='*train*.tar'", "data.val='dev*.tar'")


def test_what_is_wrong_with_archives_is_told(tmp_path: Path) -> None:
    place = tmp_path / "shards"
    write_shard(place / "a.tar", range(12))
    write_shard(place / "other-test.tar", range(12))
    with pytest.raises(ConfigError, match=r"a\.tar may be any: data\.train="):
        opened(place, tmp_path)
    (place / "other-test.tar").unlink()
    with pytest.raises(RunFailed, match=r"a\.tar: 0000\.jpg has no class in a member \.txt; data\.label=ENDING"):
        opened(place, tmp_path, "data.label=txt")
    write_shard(place / "a.tar", range(12), png=encode(0))
    with pytest.raises(RunFailed, match=r"a\.tar: the sample 0000 has two images"):
        opened(place, tmp_path)
    (place / "a.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(RunFailed, match=r"a\.tar can't be read as an archive: .*gunzip"):
        opened(place, tmp_path)
    (place / "a.tar").unlink()
    with pytest.raises(ConfigError, match=r"root=.*an empty folder"):
        opened(place, tmp_path)


def test_a_damaged_image_in_an_archive_is_named(tmp_path: Path) -> None:
    place = tmp_path / "shards"
    write_shard(place / "a.tar", range(24))
    content = (place / "a.tar").read_bytes()
    at = content.index(encode(3))
    (place / "a.tar").write_bytes(content[: at + 40] + bytes(400) + content[at + 440 :])
    with pytest.raises(RunFailed, match=r"shards/a\.tar/0003\.jpg can't be read as an image: "):
        opened(place, tmp_path)


def test_a_changed_archive_is_indexed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_listing, "LARGE", 10)
    place = tmp_path / "shards"
    write_shard(place / "a.tar", range(24))
    before = opened(place, tmp_path, STREAMED)
    write_shard(place / "b.tar", range(24, 36))
    after = opened(place, tmp_path, STREAMED)
    assert (len(before.labels), len(after.labels)) == (24, 36) and before.digest != after.digest
