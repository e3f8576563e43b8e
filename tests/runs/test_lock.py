"""The lock of a run's directory: one owner at a time, told by name; what the dead leave is taken over."""

import contextlib
import json
import os
import shutil
import signal
import time

import pytest

from sota_exp.errors import ConfigError, RunFailed
from sota_exp.runs import lock
from sota_exp.runs.digests import write_checked_text
from sota_exp.runs.lock import STALE, find_owner, lock_directory


def test_a_directory_has_one_owner_at_a_time(tmp_path):
    place = tmp_path / "run"
    with lock_directory(place):
        owner = json.loads((place / "owner.json").read_text())
        assert owner["pid"] == os.getpid()
        with pytest.raises(ConfigError, match=f"run is in use by process {os.getpid()} of .* wait until it has ended"):
            lock_directory(place).__enter__()
        assert (place / "owner.json").is_file()
    assert not (place / "owner.json").exists()
    with lock_directory(place):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    child = os.fork()
    if child == 0:
        with lock_directory(tmp_path):
            (tmp_path / "ready").touch()
            time.sleep(60)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    with pytest.raises(ConfigError, match=f"process {child}"):
        lock_directory(tmp_path).__enter__()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with lock_directory(tmp_path):
        assert json.loads((tmp_path / "owner.json").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(("age", "is_free"), [(0.0, False), (STALE - 20, False), (STALE + 1, True)])
def test_an_owner_on_another_host_is_believed_while_its_heart_beats(tmp_path, age, is_free):
    owner = tmp_path / "owner.json"
    owner.write_text(json.dumps({"pid": 7, "host": "elsewhere", "user": "ada", "time": 0.0}))
    os.utime(owner, (time.time() - age,) * 2)
    if is_free:
        with lock_directory(tmp_path):
            assert json.loads(owner.read_text())["pid"] == os.getpid()
    else:
        with pytest.raises(ConfigError, match="in use by process 7 of ada on elsewhere"):
            lock_directory(tmp_path).__enter__()
        assert json.loads(owner.read_text())["pid"] == 7


def test_one_file_says_whether_a_run_is_trained_now(tmp_path):
    """Not what `start.json` says of the process that began: the owner may be another, or dead."""
    assert find_owner(tmp_path) == {}
    with lock_directory(tmp_path):
        assert find_owner(tmp_path)["pid"] == os.getpid()
        owner = (tmp_path / "owner.json").read_text()
    assert find_owner(tmp_path) == {}
    for change in ({"pid": 2**22 + 1}, {"born": 0.0}):
        (tmp_path / "owner.json").write_text(json.dumps(json.loads(owner) | change))
        assert find_owner(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 7}'])
def test_a_damaged_owner_file_is_nobodys(tmp_path, text):
    (tmp_path / "owner.json").write_text(text)
    with lock_directory(tmp_path):
        assert json.loads((tmp_path / "owner.json").read_text())["pid"] == os.getpid()


def test_what_killed_processes_left_half_written_is_removed(tmp_path):
    left = [tmp_path / ".result.json.0123456789ab", tmp_path / "checkpoint" / ".state.pt.ba9876543210"]
    kept = [tmp_path / ".hydra" / "config.yaml", tmp_path / ".notes.txt", tmp_path / "result.json.0123456789ab"]
    for path in (*left, *kept):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with lock_directory(tmp_path):
        assert not any(path.exists() for path in left) and all(path.exists() for path in kept)


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_run_does_not_write_into_a_directory_that_was_removed_even_if_another_made_it_anew(tmp_path, is_made_anew):
    place = tmp_path / "run"
    first = lock_directory(place)
    first.__enter__()
    write_checked_text(place / "result.json", "first")
    shutil.rmtree(place)
    if is_made_anew:
        with contextlib.ExitStack() as stack:
            # Another process: this one has locked the former directory.
            mine = dict(lock._locked)
            lock._locked.clear()
            stack.enter_context(lock_directory(place))
            write_checked_text(place / "result.json", "second")
            lock._locked.clear()
            lock._locked.update(mine)
            with pytest.raises(RunFailed, match="run is gone"):
                write_checked_text(place / "result.json", "first again")
            assert (place / "result.json").read_text() == "second"
    else:
        with pytest.raises(RunFailed, match="run is gone"):
            write_checked_text(place / "result.json", "first again")
        assert not place.exists()
    first.__exit__(None, None, None)
    with lock_directory(place):
        write_checked_text(place / "result.json", "third")
    assert (place / "result.json").read_text() == "third"
