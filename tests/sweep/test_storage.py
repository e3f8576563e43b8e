"""Storage: which are legal, how a lost connection is waited for, and who takes turns."""

import multiprocessing
import threading
import time

import pytest
from optuna.exceptions import StorageInternalError

from sota_exp.errors import ConfigError, RunFailed
from sota_exp.sweep.storage import StudyStorage, resolve_storage_url, retry_while_disconnected


def test_the_default_is_sqlite_in_the_sweeps_directory(tmp_path):
    assert resolve_storage_url(None, tmp_path) == f"sqlite:///{tmp_path}/study.db"
    assert resolve_storage_url("postgresql://me@host/db", tmp_path) == "postgresql://me@host/db"


@pytest.mark.parametrize(
    "url, says",
    [
        ("journal.log", "no heartbeat"),
        ("{'_target_': 'optuna.storages.JournalStorage'}", "no heartbeat"),
        ("sqlite:///:memory:", "a sweep cannot be resumed from this storage"),
        ("redis://host", "legal: null for SQLite"),
    ],
)
def test_a_storage_without_heartbeat_is_refused_with_the_reason(url, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        resolve_storage_url(url, tmp_path)


def test_a_lost_connection_is_tried_again_until_it_is_back():
    answers = [StorageInternalError("gone"), StorageInternalError("gone"), 7]

    def call():
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    assert retry_while_disconnected(call, seconds=5) == 7


def test_a_connection_that_stays_lost_fails_in_one_line():
    def call():
        raise StorageInternalError("no") from OSError("server closed\nthe connection")

    with pytest.raises(RunFailed, match="does not answer: OSError: server closed$"):
        retry_while_disconnected(call, seconds=0.15)


def store(folder):
    return StudyStorage(url=resolve_storage_url(None, folder), name="s", heartbeat=1, grace=5)


def create(folder, barrier):
    barrier.wait()
    with store(folder).lock():
        store(folder).study(["maximize"])


def test_processes_that_make_a_study_at_once_make_one(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [context.Process(target=create, args=(tmp_path, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert store(tmp_path).study().study_name == "s"


def test_one_is_inside_at_a_time(tmp_path):
    inside, most = [], []

    def enter():
        with store(tmp_path).lock():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
