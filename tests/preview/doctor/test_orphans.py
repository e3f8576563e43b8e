"""Doctor finds what killed processes left, and removes it when it is asked to; nothing of the living."""

import json
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from sota_exp.cli.main import run_command_line
from sota_exp.data.store_writer import write_store
from sota_exp.preview.doctor.orphans import check_orphans
from sota_exp.runs.atomic import DEAD_AFTER
from tests.data.test_store_writer import samples
from tests.run_directories import write_owner, write_run

OLD = DEAD_AFTER + 60


def write_old(path, age=OLD):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1000)
    os.utime(path, (time.time() - age,) * 2)
    return path


def make_draft(cache, name, age=OLD):
    draft = cache / "stores" / f".{name}.draft"
    write_old(draft / "pixels.u8", age)
    os.utime(draft, (time.time() - age,) * 2)
    return draft


@pytest.fixture
def left(tmp_path, monkeypatch):
    """(dead things, living ones) below outputs and in a cache."""
    monkeypatch.chdir(tmp_path)
    dead_run, living_run = (write_run(Path("outputs") / name) for name in ("dead", "living"))
    write_owner(dead_run, pid=2**22 + 1)
    write_owner(living_run)
    dead = [
        dead_run / "owner.json",
        write_old(Path("multirun/study/.study.json.0123456789ab")),
        write_old(Path("cache/streams/.files-1.json.0123456789ab")),
        make_draft(Path("cache"), "files-dead"),
    ]
    living = [
        living_run / "owner.json",
        write_old(Path("multirun/study/.study.json.ba9876543210"), 5),
        make_draft(Path("cache"), "files-young", 5),
        dead_run / "result.json",
    ]
    return dead, living


def test_orphans_are_found_and_removed_and_nothing_else(left):
    dead, living = left
    held = make_draft(Path("cache"), "files-held")
    with FileLock("cache/stores/files-held.lock"):
        found = check_orphans(Path("cache"), False)
        assert [each.state for each in found] == ["note"] * 3
        assert {each.message.split(" of killed")[0] for each in found} == {
            "2 temporary files",
            "1 locks of dead owners",
            "1 unfinished stores",
        }
        assert all("doctor --clean" in each.fix for each in found)
        assert all(path.exists() for path in (*dead, *living, held))
        removed = check_orphans(Path("cache"), True)
        assert [each.state for each in removed] == ["ok"] * 3 and all("removed: " in each.message for each in removed)
        assert not any(path.exists() for path in dead) and all(path.exists() for path in (*living, held))
        (none,) = check_orphans(Path("cache"), True)
    assert none.state == "ok" and "left anything" in none.message


def test_the_command_offers_it_and_does_it(left, capsys, monkeypatch):
    dead, living = left
    monkeypatch.setattr("sota_exp.preview.doctor.hosts.is_host_reachable", lambda url: True)
    words = ["doctor", "--json", "--data=fake", "--cache=cache"]
    run_command_line(words)
    assert "sota-exp doctor --clean removes them" in {each["fix"] for each in json.loads(capsys.readouterr().out)}
    assert all(path.exists() for path in dead[:-1])  # the check of the data builds a store, which removes the last
    run_command_line([*words, "--clean"])
    assert not any(path.exists() for path in dead) and all(path.exists() for path in living)


def test_the_next_store_removes_what_an_earlier_process_left_of_another(tmp_path):
    dead, young = make_draft(tmp_path, "files-1"), make_draft(tmp_path, "files-2", 5)
    write_store(tmp_path / "stores" / "files-3", ["a", "b"], samples())
    assert not dead.exists() and young.exists()
