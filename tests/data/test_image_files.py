"""Data sets of image files: whatever changes in their folder, table or store is read by the next run of the process."""

import os
import shutil

import pytest

from tests.data import test_csv
from tests.data.test_image_folder import fill, source


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "set", cat=10, dog=10, **{"cat/empty": 0})
    return tmp_path / "set"


def overwrite(folder):
    shutil.copyfile(folder / "dog" / "000.png", folder / "cat" / "000.png")


def touch(folder):
    state = (folder / "cat" / "000.png").stat()
    os.utime(folder / "cat" / "000.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))


def add(folder):
    shutil.copyfile(folder / "dog" / "000.png", folder / "cat" / "new.png")


def add_to_an_empty_folder(folder):
    shutil.copyfile(folder / "dog" / "000.png", folder / "cat" / "empty" / "new.png")


def remove(folder):
    (folder / "cat" / "000.png").unlink()


def remove_the_store(folder):
    shutil.rmtree(folder.parent / "cache" / "stores")


def empty_the_store(folder):
    (pixels,) = (folder.parent / "cache" / "stores").glob("*/pixels.u8")
    pixels.write_bytes(b"")


CHANGES = [overwrite, touch, add, add_to_an_empty_folder, remove, remove_the_store, empty_the_store]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_read(folder, change):
    first = source(folder.parent)()
    change(folder)
    second = source(folder.parent)()
    assert (second.digest != first.digest) == (change in (overwrite, add, add_to_an_empty_folder, remove))
    expected = {"add": 21, "add_to_an_empty_folder": 21, "remove": 19}.get(change.__name__, 20)
    assert len(second.labels) == expected and len(second.images) == expected


def test_a_changed_table_is_read(folder):
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    table = folder / "table.csv"
    table.write_text("\n".join(["path,label", *rows]))
    first = test_csv.source(folder.parent)()
    table.write_text("\n".join(["path,label", *rows[1:]]))
    assert len(test_csv.source(folder.parent)().labels) == len(first.labels) - 1


def test_a_failure_is_not_cached(folder):
    (folder / "cat" / "broken.png").write_text("no image")
    for _ in range(2):
        with pytest.raises(Exception, match="broken.png"):
            source(folder.parent)()
    (folder / "cat" / "broken.png").unlink()
    assert len(source(folder.parent)().labels) == 20
