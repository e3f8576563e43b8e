"""Digests of a run's files: every damage is found, and a kill at any moment leaves files that are believed."""

import json
import random
import threading

import numpy as np
import pytest

from sota_exp.errors import DamagedFile, RunFailed
from sota_exp.runs import digests
from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.digests import (
    check_digest,
    is_there,
    move_checked,
    read_checked,
    read_json,
    read_json_lines,
    read_object,
    remove_checked,
    write_checked,
    write_checked_json,
    write_checked_text,
)
from sota_exp.runs.files import RunFiles
from tests.damages import DAMAGES


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "checkpoint/state.pt"])
def test_every_damage_is_found(tmp_path, damage, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    content = random.Random(1).randbytes(200)
    write_checked(path, lambda file: file.write(content))
    assert read_checked(path) == content
    DAMAGES[damage](path)
    with pytest.raises((DamagedFile, OSError), match=path.name):
        read_checked(path)
    with pytest.raises((DamagedFile, OSError), match=path.name):
        check_digest(path)


def test_the_last_two_contents_are_believed(tmp_path):
    path = tmp_path / "metrics.jsonl"
    texts = ["1\n", "1\n2\n", "1\n2\n3\n"]
    for text in texts:
        write_checked_text(path, text)
    assert len(json.loads((tmp_path / "digests.json").read_text())["metrics.jsonl"]) == 2
    path.write_text(texts[1])
    assert read_checked(path).decode() == texts[1]
    path.write_text(texts[0])
    with pytest.raises(DamagedFile):
        read_checked(path)


def test_a_result_ends_what_was_believed_of_the_epochs_before(tmp_path):
    """The file without its last line is what the run had written an epoch before."""
    files = RunFiles(directory=tmp_path)
    for num in (1, 2, 3):
        files.write_metrics([{"epoch": number, "val/loss": 1.0} for number in range(1, num + 1)])
    cut = "".join(files.directory.joinpath("metrics.jsonl").read_text().splitlines(keepends=True)[:-1])
    files.write_result({"status": "finished", "fingerprint": "a"})
    assert len(read_json_lines(tmp_path / "metrics.jsonl")) == 3
    (tmp_path / "metrics.jsonl").write_text(cut)
    with pytest.raises(DamagedFile, match="another digest"):
        read_json_lines(tmp_path / "metrics.jsonl")


def test_a_removed_file_is_not_missed(tmp_path):
    write_checked(tmp_path / "a", lambda file: file.write(b"1"))
    write_checked(tmp_path / "b", lambda file: file.write(b"2"))
    for _ in range(2):
        remove_checked(tmp_path / "a")
    assert not is_there(tmp_path / "a") and read_checked(tmp_path / "b") == b"2"


def test_arrays_that_unpack_to_more_than_a_run_writes_are_refused(tmp_path):
    """8 GiB of zeros take 8 MB on the disk."""
    path = tmp_path / "predictions.npz"
    np.savez_compressed(path, test_labels=np.zeros(10))
    with open_arrays(path) as found:
        assert found["test_labels"].sum() == 0
    np.savez_compressed(path, test_labels=np.zeros(2**28 + 1, dtype=np.int8))
    with pytest.raises(DamagedFile, match="unpacks to 256 MiB"), open_arrays(path):
        pass


def test_a_kill_between_the_digest_and_the_file_leaves_the_former_content(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_checked_json(path, {"status": "interrupted"})

    def record_and_die(path, digest):
        digests_before(path, digest)
        raise KeyboardInterrupt

    digests_before = digests.record_digest
    monkeypatch.setattr(digests, "record_digest", record_and_die)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            write_checked_json(path, {"status": "finished"})
    assert read_json(path) == {"status": "interrupted"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["digests.json", "result.json"]


def test_a_renamed_file_keeps_its_digest(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    newest, former = tmp_path / "checkpoint" / "state.pt", tmp_path / "checkpoint" / "former.pt"
    for number in (b"1", b"2", b"3"):
        if newest.exists():
            move_checked(newest, former)
        write_checked(newest, lambda file, number=number: file.write(number))
    assert (read_checked(newest), read_checked(former)) == (b"3", b"2")
    former.write_bytes(b"3")
    with pytest.raises(DamagedFile):
        read_checked(former)


def test_files_without_digests_are_read_and_must_have_the_right_form(tmp_path):
    path = tmp_path / "result.json"
    assert read_json(path) is None and read_json_lines(path) == []
    path.write_text('{"status": "finished"}')
    assert read_object(path, "status") == {"status": "finished"}
    for text in ("", "[]", "{}", "{", "\xff"):
        path.write_bytes(text.encode("latin1"))
        with pytest.raises(DamagedFile, match=r"result.json is damaged: it is no"):
            read_object(path, "status")
    for text in ("[1]\n", "{\n", "\xff\n"):
        path.write_bytes(text.encode("latin1"))
        with pytest.raises(DamagedFile, match=r"it has a line that is"):
            read_json_lines(path)
    path.write_text('{"epoch": 1}\n{"epo')
    assert read_json_lines(path) == [{"epoch": 1}]


def test_arrays_are_read_or_called_damaged(tmp_path):
    path = tmp_path / "predictions.npz"
    write_checked(path, lambda file: np.savez(file, labels=np.arange(3)))
    with open_arrays(path) as arrays:
        assert arrays["labels"].tolist() == [0, 1, 2]
    (tmp_path / "digests.json").unlink()
    for content in (b"", b"PK", b"text", path.read_bytes()[:40]):
        path.write_bytes(content)
        with pytest.raises(DamagedFile, match=r"predictions.npz is damaged: it has no arrays"):
            open_arrays(path).__enter__()
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(DamagedFile, match="not a file of arrays"):
        open_arrays(path).__enter__()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"result.json": 3}'])
def test_a_damaged_table_of_digests_is_told(tmp_path, text):
    write_checked_text(tmp_path / "result.json", "{}")
    (tmp_path / "digests.json").write_text(text)
    with pytest.raises(DamagedFile, match="digests.json is damaged: .* remove it to read"):
        read_checked(tmp_path / "result.json")


def test_a_directory_that_is_gone_is_not_made_again(tmp_path):
    for path in (tmp_path / "gone" / "result.json", tmp_path / "gone" / "checkpoint" / "state.pt"):
        with pytest.raises(RunFailed, match=r"the run's directory .*gone is gone"):
            write_checked_text(path, "{}")
    assert not list(tmp_path.iterdir())


def test_a_reader_beside_a_writer_never_calls_a_file_damaged(tmp_path):
    path, is_over = tmp_path / "metrics.jsonl", threading.Event()
    write_checked_text(path, "{}\n")

    def write():
        for number in range(1, 150):
            write_checked_text(path, "{}\n" * number)
        is_over.set()

    writer = threading.Thread(target=write)
    writer.start()
    num_reads = 0
    while not is_over.is_set():
        assert set(read_checked(path).decode().splitlines()) == {"{}"}
        num_reads += 1
    writer.join()
    assert num_reads > 10


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "predictions.npz", labels=np.array([{}], dtype=object))
    with pytest.raises(DamagedFile, match="no arrays of NumPy"), open_arrays(tmp_path / "predictions.npz") as arrays:
        _ = arrays["labels"]


@pytest.mark.parametrize("read", [read_json, read_json_lines])
def test_json_without_end_is_damaged(read, tmp_path):
    (tmp_path / "x.json").write_text("[" * 100_000 + "\n")
    with pytest.raises(DamagedFile):
        read(tmp_path / "x.json")
