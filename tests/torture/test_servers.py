"""A share of the servers and disks of `make torture`."""

import inspect
import sqlite3
from unittest import mock

import pytest
import requests

from sota_exp.errors import RunFailed
from sota_exp.runs import limited_answers
from sota_exp.sweep import storage
from sota_exp.tracking.mlflow_follow import LONGEST_LOG, RunUploader
from tests.run_directories import write_run
from tests.torture import __main__ as torture
from tests.torture import disk, servers


@pytest.fixture
def limited(monkeypatch):
    """Answers are limited in this process, to 2 MiB and 0.5 s, until the test ends."""
    # Without the limit that another test of this process may have set.
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", inspect.unwrap(requests.adapters.HTTPAdapter.send))
    monkeypatch.setattr(limited_answers, "MOST_BYTES", 2**21)
    monkeypatch.setattr(limited_answers, "MOST_SECONDS", 0.5)
    limited_answers.limit_answers.__wrapped__()


@pytest.mark.parametrize("behaviour", ["an endless body", "one byte per second"])
def test_an_answer_without_an_end_is_an_error(limited, behaviour):
    with servers.serve(behaviour) as uri, pytest.raises(requests.ConnectionError, match="answers without an end"):
        requests.get(f"{uri}/x?y", timeout=5)


def test_a_whole_answer_is_read_as_ever(limited):
    with servers.serve("401") as uri:
        found = requests.get(uri, timeout=60)
    assert (found.status_code, found.content, found.json()) == (401, b"{}", {})


def test_what_a_server_answered_is_short_in_the_log_and_there_once(tmp_path, capfd, monkeypatch):
    following = RunUploader(write_run(tmp_path / "run"), 0, print)
    monkeypatch.setattr(following, "_send", mock.Mock(side_effect=ValueError("x" * 10**6)))
    for _ in range(3):
        following.send()
    assert LONGEST_LOG / 2 < len(capfd.readouterr().err) <= LONGEST_LOG + 1


def test_a_locked_study_is_waited_for(monkeypatch):
    assert min(storage.RETRY_SECONDS, 70) > storage.SQLITE_SECONDS
    monkeypatch.setattr(storage, "SQLITE_SECONDS", 0.1)
    assert "each value is there once" in servers.check_locked_study(0, lock_seconds=1.0)


def test_a_study_that_stays_locked_is_told_of(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(storage, "TELL_SECONDS", 0.1)
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    store = storage.StudyStorage(url=f"sqlite:///{tmp_path / 'x.db'}", name="s", heartbeat=1, grace=5)
    monkeypatch.setattr(storage, "SQLITE_SECONDS", 0.05)
    with pytest.raises(RunFailed, match="does not answer: .*database is locked"):
        storage.retry_while_disconnected(lambda: store.study(["maximize"]), seconds=1.0)
    assert "it is tried again for up to 1 s" in caplog.text


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_is_the_same_later():
    with disk.prepared():
        assert disk.check_files(disk.NUM_MOMENTS - 1) == "one line, then equal"


def test_every_module_with_a_table_is_run():
    assert {"damages", "disk", "fuzz", "servers", "soak"} <= set(torture.list_modules())
