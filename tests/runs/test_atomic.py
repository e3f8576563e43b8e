"""Files are on the disk before they have their name, and leave nothing behind when they cannot be written or a writer was killed."""

import os
import stat
import time
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


def age(path: Path, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_the_next_write_of_a_file_removes_its_old_drafts_alone(tmp_path: Path) -> None:
    """In a folder that several programs write in: of a study, of a report, of a cache."""
    for number, write in enumerate((atomic.write_text, atomic.write_recomputable_text)):
        folder = tmp_path / str(number)
        dead = age(folder / ".study.json.0123456789ab", atomic.DEAD_AFTER + 60)
        kept = [
            age(folder / ".study.json.ba9876543210", atomic.DEAD_AFTER - 60),
            age(folder / ".report.html.0123456789ab", atomic.DEAD_AFTER + 60),
            age(folder / ".study.json.notes", atomic.DEAD_AFTER + 60),
        ]
        write(folder / "study.json", "{}")
        assert not dead.exists() and all(path.exists() for path in kept)
        assert (folder / "study.json").read_text() == "{}"
