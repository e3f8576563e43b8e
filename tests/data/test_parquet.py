"""`data=parquet`: the rows that pyarrow reads, each once an epoch, local and at an address, to the bit."""

import json
import logging
import multiprocessing
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sota_exp.data import row_groups, stream_index
from sota_exp.data.open import open_data
from sota_exp.data.row_groups import CACHE, RowGroupCache, load_row_group
from sota_exp.data.streaming import StreamedImages
from sota_exp.data.train_loader import count_sharing, load_crops, share_out
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.stages.random import RandomStreams
from sota_exp.training import evaluator, run
from sota_exp.training.listener import RunRequest
from sota_exp.training.norm_batches import iterate_norm_batches
from sota_exp.training.run import compute_fingerprints
from sota_exp.training.session import build_train_crops
from tests.data.shards import compose_shards
from tests.data.test_streaming import losses
from tests.data.test_webdataset import encode
from tests.experiments import OFF, TINY, composed, session_of

CLASSES = ["wolf", "ant", "bee"]
STREAMED = "data.store_gigabytes=0"


def write_file(path: Path, rows: range, labels: list[Any] | None = None, per_group: int = 5, **options: Any) -> None:
    """A file as the package `datasets` writes it; its labels are those of `rows` modulo 3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encode(row), "path": f"{row:04d}.jpg"} for row in rows]
    table = pa.table({"image": images, "label": labels or [row % 3 for row in rows]})
    features = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(said), path, row_group_size=per_group, **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rows")
    for shard in range(5):
        write_file(place / f"data/train-{shard:05d}-of-00005.parquet", range(shard * 12, (shard + 1) * 12))
    write_file(place / "data/validation-00000-of-00001.parquet", range(60, 84))
    write_file(place / "data/test-00000-of-00001.parquet", range(84, 90), [-1] * 6)
    return place


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two row groups a window, of which a process keeps four."""
    monkeypatch.setattr(row_groups, "WINDOW_BYTES", 1)
    monkeypatch.setattr(row_groups, "MIN_GROUPS", 2)
    CACHE.clear()


def of(root: Path | str, cache: Path, *overrides: str) -> Any:
    return compose_shards("parquet", root, cache, *overrides)


def opened(root: Path | str, cache: Path, *overrides: str) -> Any:
    return open_data(of(root, cache, *overrides).experiment)


def test_the_rows_are_those_of_pyarrow(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = opened(root, tmp_path, STREAMED)
    theirs = [row for path in sorted(root.rglob("*-of-*.parquet")) for row in pq.read_table(path).to_pylist()]
    del theirs[:6]  # those of test, whose name comes first
    assert [image.path.read() for image in data.images.files] == [row["image"]["bytes"] for row in theirs]
    assert [data.classes[label] for label in data.labels] == [CLASSES[row["label"]] for row in theirs]
    assert data.classes == tuple(CLASSES)  # in the order of their numbers
    assert data.name_image(13) == "data/train-00001-of-00005.parquet#image:0/1.jpg"
    assert data.count_images() == {"train": 54, "val": 24, "test": 6}  # test is cut from train
    assert "without labels, and ignored: data/test-00000-of-00001.parquet" in caplog.text


def test_a_store_has_the_same_images(root: Path, tmp_path: Path) -> None:
    stored, streamed = opened(root, tmp_path), opened(root, tmp_path, STREAMED)
    assert not isinstance(stored.images, StreamedImages) and stored.images.blocks is None
    assert all(torch.equal(stored.images.image(index), streamed.images.image(index)) for index in range(84))
    assert torch.equal(stored.labels, streamed.labels) and torch.equal(stored.image_digests, streamed.image_digests)


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
def test_each_image_is_seen_once_an_epoch(root: Path, tmp_path: Path, world_size: int, workers: int) -> None:
    experiment = of(root, tmp_path, STREAMED, "batch_size=18", "data.image_size=16").experiment
    data, seen = open_data(experiment), [Counter[int](), Counter[int]()]
    for rank in range(world_size):
        streams = RandomStreams(seed=0, rank=rank, world_size=world_size)
        crops = build_train_crops(experiment, data, "bilinear", streams)
        for step, (_, positions) in enumerate(load_crops(crops, range(6), workers, False)):
            seen[step // 3].update(positions.tolist())
    assert seen == [Counter(range(54))] * 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2])
def test_processes_and_their_workers_share_the_row_groups_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world_size: int, workers: int
) -> None:
    """Four lanes: each of up to four processes has its own, so 15 row groups are read once or twice by all together."""
    monkeypatch.setattr(row_groups, "MIN_GROUPS", 4)
    monkeypatch.setattr(
        multiprocessing.context._default_context, "_actual_context", multiprocessing.get_context("fork")
    )
    experiment = of(root, tmp_path, STREAMED, "batch_size=16").experiment
    data, journal = open_data(experiment), tmp_path / "read.txt"

    def load(name: str) -> Any:
        with journal.open("a") as file:
            file.write(f"{name}\n")
        return load_row_group(name)

    monkeypatch.setattr(row_groups, "load_row_group", load)
    for rank in range(world_size):
        streams = RandomStreams(seed=0, rank=rank, world_size=world_size)
        crops = build_train_crops(experiment, data, "bilinear", streams)
        assert not torch.equal(crops.order(0), crops.order(1))
        CACHE.clear()
        for _ in load_crops(crops, range(3), workers, False):
            pass
    read = Counter(journal.read_text().splitlines())
    assert set(read.values()) <= {1, 2} and read.total() <= 15 + 4


def test_statistics_of_norms_and_fine_tuning_read_a_row_group_once_or_twice(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Counter[str]()

    def load(name: str) -> Any:
        read[name] += 1
        return load_row_group(name)

    monkeypatch.setattr(row_groups, "load_row_group", load)
    monkeypatch.setattr(evaluator, "CACHE_BYTES", 0)
    words = ("batch_size=9", "evaluation/fine_tune=classifier_and_norm", "evaluation.fine_tune.batch_size=9")
    configuration = of(root, tmp_path, STREAMED, *words, "evaluation.fine_tune.epochs=1")
    session, _ = session_of(configuration.experiment)
    training = session.evaluator.get_training_images(session.default_view)
    tune = session.experiment.evaluation.fine_tune
    for use in (lambda: [*iterate_norm_batches(session)], lambda: tune(session.network(), training, session.streams)):
        CACHE.clear()
        read.clear()
        use()
        assert len(read) >= 11 and set(read.values()) <= {1, 2}


def test_the_order_of_row_groups_is_in_the_fingerprint_of_those_that_are_streamed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prints(budget: str) -> tuple[str, str]:
        configuration = of(root, tmp_path, budget)
        data, content = open_data(configuration.experiment), {}
        before = compute_fingerprints(RunRequest(configuration=configuration, directory=tmp_path), data, content)[0]
        monkeypatch.setattr(run, "ORDER_OF_BLOCKS", "another")
        after = compute_fingerprints(RunRequest(configuration=configuration, directory=tmp_path), data, content)[0]
        monkeypatch.undo()
        return before, after

    streamed, stored = prints(STREAMED), prints("data.store_gigabytes=1")
    assert streamed[0] != streamed[1] and stored[0] == stored[1]


def test_a_batch_that_another_option_composes_stays_as_it_is(root: Path, tmp_path: Path) -> None:
    words = ("supervision=label_propagation", "batch_size=9")
    one, other = (of(root, tmp_path, budget, *words).experiment for budget in (STREAMED, "data.store_gigabytes=1"))
    orders = [
        build_train_crops(each, open_data(each), "bilinear", RandomStreams(seed=0)).order(1) for each in (one, other)
    ]
    assert torch.equal(*orders)


def test_training_is_the_same_with_workers(root: Path, tmp_path: Path) -> None:
    first, *others = (losses(of(root, tmp_path, STREAMED, f"runtime.workers={num}")) for num in (0, 1, 2))
    assert others == [first, first]
    for option in ("augmentation/repeat=repeated", "supervision=label_propagation"):
        one, other = (losses(of(root, tmp_path, STREAMED, option, f"runtime.workers={num}")) for num in (0, 2))
        assert one == other != first, option


def test_steps_from_the_middle_of_an_epoch_are_those_of_a_whole_one(root: Path, tmp_path: Path) -> None:
    experiment = of(root, tmp_path, STREAMED, "batch_size=18", "data.image_size=16").experiment
    crops = build_train_crops(experiment, open_data(experiment), "bilinear", RandomStreams(seed=0))
    whole, rest = list(load_crops(crops, range(6), 0, False)), list(load_crops(crops, range(2, 6), 2, False))
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_files_at_an_address_are_those_of_the_folder(root: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in root.rglob("*.parquet"):
        memory.pipe(f"/{path.relative_to(root)}", path.read_bytes())
    words = (STREAMED, "data.train=train-*.parquet", "data.val=validation-*.parquet")
    remote = opened("memory://data", tmp_path / "a", *words)
    local = opened(root / "data", tmp_path / "b", *words)
    assert remote.digest == local.digest and torch.equal(remote.image_digests, local.image_digests)
    assert torch.equal(remote.images.image(7), local.images.image(7))
    assert losses(of("memory://data", tmp_path / "a", *words)) == losses(of(root / "data", tmp_path / "b", *words))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none"},
        {"compression": "zstd", "use_dictionary": False},
        {"data_page_version": "2.0"},
        {"use_content_defined_chunking": True, "write_page_index": True},
        {"per_group": 100},
    ],
    ids=str,
)
def test_however_the_files_are_written(tmp_path: Path, options: dict[str, Any]) -> None:
    write_file(tmp_path / "rows/a.parquet", range(24), **options)
    data = opened(tmp_path / "rows", tmp_path, STREAMED)
    assert [image.path.read() for image in data.images.files] == [encode(row) for row in range(24)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()], ids=str)
def test_bytes_and_names_without_features(tmp_path: Path, kind: pa.DataType) -> None:
    (tmp_path / "rows").mkdir()
    images = pa.array([encode(row) for row in range(24)], kind)
    table = pa.table({"picture": images, "class": ["cat", "dog"] * 12, "width": [1] * 24})
    pq.write_table(table, tmp_path / "rows/a.parquet", row_group_size=5)
    data = opened(tmp_path / "rows", tmp_path, STREAMED)
    assert data.classes == ("cat", "dog") and data.name_image(7) == "a.parquet#picture:1/7"
    assert data.images.files[7].path.read() == encode(7)


def test_a_sample_of_a_large_set_is_hashed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_index, "NUM_HASHED", 5)
    data = opened(root, tmp_path, STREAMED, "data.digest=sampled")
    assert data.digest.startswith("sampled-") and not data.knows_contents
    assert data.images.size(7) == (70, 70)
    assert data.images.find_changed(data.train, data.image_digests, 0.0) == []


def test_sorted_rows_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_file(tmp_path / "rows/a.parquet", range(60), [row // 10 for row in range(60)])
    with caplog.at_level(logging.WARNING):
        opened(tmp_path / "rows", tmp_path, STREAMED)
    assert "its rows are sorted by class: 100 % of a row group are of one" in caplog.text


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def damage_image(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(400) + content[600:])


def remove_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["label"]), path)


def empty_row(path: Path) -> None:
    table = pq.read_table(path).to_pylist()
    table[2]["image"]["bytes"] = None
    pq.write_table(pa.Table.from_pylist(table), path)


DAMAGES = {
    cut_short: r"b-train\.parquet can't be read as a parquet file: .*magic bytes",
    damage_image: r"b-train\.parquet.*can't be read as",
    remove_column: r"b-train\.parquet has no column label, as the first file has; it has image$",
    empty_row: r"b-train\.parquet#image:0/2\.jpg can't be read as an image: the row has no bytes of an image",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("budget", ["0", "1"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: Any, budget: str) -> None:
    for name in "ab":
        write_file(tmp_path / f"rows/{name}-train.parquet", range(24), compression="none")
    damage(tmp_path / "rows/b-train.parquet")
    with pytest.raises(RunFailed, match=DAMAGES[damage]) as caught:
        opened(tmp_path / "rows", tmp_path, f"data.store_gigabytes={budget}")
    assert "\n" not in str(caught.value)


def test_a_file_that_ends_during_training_is_named(root: Path, tmp_path: Path) -> None:
    write_file(tmp_path / "rows/a.parquet", range(24))
    data = opened(tmp_path / "rows", tmp_path, STREAMED)
    (tmp_path / "rows/a.parquet").write_bytes((tmp_path / "rows/a.parquet").read_bytes()[:3000])
    CACHE.clear()
    with pytest.raises(RunFailed, match=r"a\.parquet#image:4/23\.jpg can't be read as an image: .*a\.parquet can't be"):
        data.images.image(23)


WRONG = {
    "data.image_column=picture": r"image_column=picture is not legal: a column of the data set: image, label",
    "data.label_column=kind": r"label_column=kind is not legal: a column of the data set: image, label",
    "data.val=dev*.parquet": r"val=dev\*\.parquet is not legal: names of parquet files in .*there are none such",
    "data.label_column=image": r"its image is \{.*\}; a string or an integer from 0 on is legal",
}


@pytest.mark.parametrize("override", WRONG)
def test_what_is_wrong_is_told_in_a_line(root: Path, tmp_path: Path, override: str) -> None:
    with pytest.raises((ConfigError, RunFailed), match=WRONG[override]) as caught:
        opened(root, tmp_path, "data.train='*/train*.parquet'", override)
    assert "\n" not in str(caught.value)


def test_files_of_two_configurations_and_rows_without_labels(root: Path, tmp_path: Path) -> None:
    write_file(tmp_path / "sets/one/train-0.parquet", range(12))
    write_file(tmp_path / "sets/two/train-0.parquet", range(12), [0, 1, 2, -1] * 3)
    (tmp_path / "no").mkdir()
    (tmp_path / "no/readme.txt").write_text("nothing")
    with pytest.raises(RunFailed, match=r"two/train-0\.parquet#image:0/3\.jpg: its label is -1; a string or an int"):
        opened(tmp_path / "sets/two", tmp_path)
    with pytest.raises(ConfigError, match=r"the files of one configuration; those of train lie in one, two: give one"):
        opened(tmp_path / "sets", tmp_path)
    with pytest.raises(ConfigError, match=r"root=.*a folder with parquet files"):
        opened(tmp_path / "no", tmp_path)


@pytest.mark.parametrize(
    ("ranks", "workers", "reads"),
    [(1, 0, 1.2), (1, 8, 1.2), (8, 1, 1.2), (8, 3, 1.6), (4, 6, 1.6), (8, 8, 1.2), (64, 1, 1.2)],
)
def test_up_to_64_processes_read_a_row_group_about_once(
    monkeypatch: pytest.MonkeyPatch, ranks: int, workers: int, reads: float
) -> None:
    """Of photographs, 100 in a row group of 11 MB, where each process keeps its part of a window."""
    monkeypatch.undo()
    num_groups, batch_size, loads = 400, 512, list[str]()
    blocks = row_groups.Blocks(np.arange(100 * num_groups) // 100, np.full(num_groups, 11_000_000))
    train, generator = torch.arange(100 * num_groups), torch.Generator().manual_seed(0)
    shuffled = torch.randperm(len(train), generator=generator)
    order = row_groups.order_in_windows(shuffled, train, blocks, generator, batch_size)
    loaded = SimpleNamespace(nbytes=11_000_000)
    monkeypatch.setattr(row_groups, "load_row_group", lambda name: loads.append(name) or loaded)
    experiment = composed(*TINY, *OFF).experiment
    for rank in range(ranks):
        streams = RandomStreams(seed=0, rank=rank, world_size=ranks)
        crops = build_train_crops(experiment, open_data(experiment), "bilinear", streams)
        images = SimpleNamespace(blocks=blocks)
        crops = replace(crops, images=images, train=train, batch_size=batch_size, _order=(0, order))
        mine = order[: len(order) // batch_size * batch_size].view(-1, batch_size)[:, rank::ranks]
        parts = share_out(crops, workers)
        for part in parts:
            cache = RowGroupCache()
            cache.num_sharing = count_sharing(crops, len(parts)) if workers else 1
            places = slice(None) if part.part is None else part.part.places
            for group in blocks.of[mine[:, places].flatten()].tolist():
                cache.get(str(group))
    assert len(loads) <= reads * num_groups


def test_order_in_windows_keeps_what_it_orders() -> None:
    blocks = row_groups.Blocks(np.arange(40) // 4, np.full(10, 4))
    train, order = torch.arange(1, 40, 2), torch.arange(20).repeat_interleave(2)
    found = row_groups.order_in_windows(order, train, blocks, torch.Generator().manual_seed(0), 8)
    assert torch.equal(found.sort().values, order) and torch.equal(found[::2], found[1::2])  # repeats stay together


@pytest.mark.parametrize("num_images", [4800, 4877])
@pytest.mark.parametrize(("min_groups", "batch_size"), [(2, 96), (8, 96), (24, 96), (30, 128), (48, 16)])
def test_each_of_several_processes_reads_a_row_group_once_or_twice(
    monkeypatch: pytest.MonkeyPatch, num_images: int, min_groups: int, batch_size: int
) -> None:
    """100 row groups, of which a process keeps two windows: of the places of a batch each takes every so many."""
    monkeypatch.setattr(row_groups, "MIN_GROUPS", min_groups)
    blocks = row_groups.Blocks(np.arange(num_images) * 100 // num_images, np.full(100, 10))
    train = torch.arange(num_images)[torch.arange(num_images) % 7 != 0]
    generator = torch.Generator().manual_seed(1)
    shuffled = torch.randperm(len(train), generator=generator)
    order = row_groups.order_in_windows(shuffled, train, blocks, generator, batch_size)
    assert torch.equal(order.sort().values, torch.arange(len(train)))
    lanes = row_groups.count_lanes(blocks, batch_size)
    batches = order[: len(order) // batch_size * batch_size].view(-1, batch_size)
    for num in (1, 2, 4, 8):
        if num > lanes:
            continue
        reads = 0
        for process in range(num):
            kept: dict[int, None] = {}
            for group in blocks.of[train[batches[:, process::num].flatten()]].tolist():
                reads += group not in kept
                kept.pop(group, None)
                kept[group] = None
                if len(kept) > 2 * min_groups // num:
                    kept.pop(next(iter(kept)))
        assert reads <= 100 + 2 * lanes, (num, reads)
    largest = max(len(np.unique(blocks.of[train[batch]])) for batch in batches)
    assert largest > min(min_groups, batch_size) // 2, "a batch is mixed from many row groups"
