"""Per-process cache of data sets: they are opened once, until a file that they depend on changes."""

import os
import shutil

import pytest

from sota_exp.data import image_folder, process_cache
from tests.data import test_csv
from tests.data.test_image_folder import fill, source


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "set", cat=10, dog=10, fox=0)
    return tmp_path / "set"


def overwrite(folder):
    shutil.copyfile(folder / "dog" / "000.png", folder / "cat" / "000.png")


def touch(folder):
    state = (folder / "cat" / "000.png").stat()
    os.utime(folder / "cat" / "000.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))


def add(folder):
    shutil.copyfile(folder / "dog" / "000.png", folder / "cat" / "new.png")


def add_to_an_empty_folder(folder):
    shutil.copyfile(folder / "dog" / "000.png", folder / "fox" / "new.png")


def remove(folder):
    (folder / "cat" / "000.png").unlink()


def remove_the_store(folder):
    shutil.rmtree(folder.parent / "cache" / "stores")


def empty_the_store(folder):
    (pixels,) = (folder.parent / "cache" / "stores").glob("*/pixels.u8")
    pixels.write_bytes(b"")


CHANGES = [overwrite, touch, add, add_to_an_empty_folder, remove, remove_the_store, empty_the_store]


@pytest.mark.parametrize("gigabytes", [4.0, 0.0], ids=["stored", "streamed"])
def test_a_second_run_gets_the_same_set(folder, gigabytes, monkeypatch):
    first = source(folder.parent, store_gigabytes=gigabytes)()
    monkeypatch.setattr("sota_exp.data.image_folder.find_folder_images", pytest.fail)
    assert source(folder.parent, store_gigabytes=gigabytes)() is first


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_read(folder, change):
    first = source(folder.parent)()
    change(folder)
    second = source(folder.parent)()
    assert second is not first
    expected = {"add": 21, "add_to_an_empty_folder": 21, "remove": 19}.get(change.__name__, 20)
    assert len(second.labels) == expected and len(second.images) == expected
    assert source(folder.parent)() is second


def test_a_change_while_files_are_listed_is_noticed_the_next_time(folder, monkeypatch):
    listed = image_folder.find_folder_images

    def slowly(root):
        found = listed(root)
        if not (folder / "cat" / "new.png").exists():
            add(folder)
        return found

    monkeypatch.setattr(image_folder, "find_folder_images", slowly)
    assert [len(source(folder.parent)().labels) for _ in range(3)] == [20, 21, 21]


def test_hidden_folders_are_ignored(folder):
    (folder / ".cache").mkdir()
    for name in ("a", "b"):
        (folder / ".cache" / name).symlink_to(folder)
    assert len(image_folder.find_folders(folder)) == 4


def test_another_source_of_the_same_folder_is_another_set(folder):
    first = source(folder.parent)()
    assert source(folder.parent, split_seed=5)() is not first
    assert source(folder.parent)() is first


def test_a_changed_table_is_read(folder):
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    table = folder / "table.csv"
    table.write_text("\n".join(["path,label", *rows]))
    first = test_csv.source(folder.parent)()
    assert test_csv.source(folder.parent)() is first
    table.write_text("\n".join(["path,label", *rows[1:]]))
    assert len(test_csv.source(folder.parent)().labels) == len(first.labels) - 1


def test_a_failure_is_not_cached(folder):
    (folder / "cat" / "broken.png").write_text("no image")
    for _ in range(2):
        with pytest.raises(Exception, match="broken.png"):
            source(folder.parent)()
    (folder / "cat" / "broken.png").unlink()
    assert len(source(folder.parent)().labels) == 20


def test_a_process_caches_a_few_data_sets(folder):
    sets = [source(folder.parent, split_seed=seed) for seed in range(process_cache.MAX_CACHED + 1)]
    first = [each() for each in sets]
    assert len(process_cache._cache) == process_cache.MAX_CACHED
    assert sets[-1]() is first[-1] and sets[0]() is not first[0]
