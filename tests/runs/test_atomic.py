"""Files are on the disk before they have their name, and leave nothing behind when they cannot be written."""

import os
import stat
from pathlib import Path

import pytest

from sota_exp.runs import atomic


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "state", []

    def flush(descriptor: int) -> None:
        seen.append((stat.S_ISREG(os.fstat(descriptor).st_mode), os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", flush)
    atomic.write_atomically(path, lambda file: file.write(b"all of it"))
    assert seen == [(True, 9, False)]
    assert path.read_bytes() == b"all of it"


def test_a_file_that_can_be_computed_again_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("waits for the disk"))
    atomic.write_recomputable_text(tmp_path / "page", "words")
    assert (tmp_path / "page").read_text() == "words"


def test_what_cannot_be_written_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "state"
    atomic.write_text(path, "old")
    with pytest.raises(OSError, match="full"):
        atomic.write_atomically(path, lambda file: (_ for _ in ()).throw(OSError("full")))
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("state", "old")]
