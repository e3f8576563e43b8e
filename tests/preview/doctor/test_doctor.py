"""Each check returns ok, or names the problem and its fix."""

import io
import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from rich.console import Console

from sota_exp.cli.saved_model_argument import find_run_weights
from sota_exp.errors import ConfigError
from sota_exp.preview.doctor import data as data_check
from sota_exp.preview.doctor import device as device_check
from sota_exp.preview.doctor import disk as places_check
from sota_exp.preview.doctor import hosts as hosts_check
from sota_exp.preview.doctor import mlflow_store as store_check
from sota_exp.preview.doctor import packages as packages_check
from sota_exp.preview.explain import describe_directory
from sota_exp.report.numbers import format_quantity
from tests.experiments import TINY, composed
from tests.run_directories import write_run

Usage = namedtuple("Usage", "total used free")


def only(findings):
    (found,) = findings
    return found


# packages


def test_the_installed_packages_are_as_asked_for():
    found = only(packages_check.check_packages())
    assert found.state == "ok" and f"torch {torch.__version__.split('+')[0]}" in found.message


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("torch<1.0", "torch is 2"),
        ("no-such-package>=1", "no-such-package is not installed"),
    ],
)
def test_an_unmet_requirement_is_a_problem_with_the_command_that_mends_it(requirement, words):
    found = only(packages_check.find_unmet_requirements([Requirement(requirement), Requirement("torch>=1.0")]))
    assert found.state == "problem" and words in found.message
    assert f"pip install '{requirement}'" in found.fix


def test_requirements_of_extras_and_other_systems_are_left_aside():
    others = ['no-such-package; extra == "ray"', 'no-such-package; sys_platform == "win64"']
    assert list(packages_check.find_unmet_requirements(map(Requirement, others))) == []


def test_a_torchvision_of_another_torch_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    found = only(packages_check.check_torchvision())
    assert found.state == "problem" and "--force-reinstall torch torchvision" in found.fix


# device


def test_a_step_on_the_cpu_works(monkeypatch):
    monkeypatch.setattr(device_check, "count_usable_cpus", torch.get_num_threads)
    found = only(device_check.check_device("cpu"))
    assert found.state == "ok" and found.message.startswith("cpu: ") and "bf16" in found.message


def test_a_device_that_is_not_there_is_a_problem(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    found = only(device_check.check_device("mps"))
    assert found.state == "problem" and "runtime.device=mps" in found.message and found.fix == "runtime.device=auto"


def test_a_failing_step_is_a_problem(monkeypatch):
    def fail(picked, dtype):
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(device_check, "time_training_step", fail)
    found = device_check.check_training_step(torch.device("cpu"))
    assert found.state == "problem" and found.message.endswith("no kernel image is available")


@pytest.mark.parametrize(("num", "cuda", "expected"), [(0, False, 0), (2, False, 1), (2, True, 0)])
def test_gpus_that_pytorch_does_not_see(num, cuda, expected, monkeypatch):
    monkeypatch.setattr(device_check, "count_driver_gpus", lambda: num)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    found = device_check.check_unseen_gpus()
    assert len(found) == expected
    assert all(item.state == "problem" and "2 NVIDIA GPUs" in item.message for item in found)


def test_unused_processors_are_a_note(monkeypatch):
    monkeypatch.setattr(device_check, "count_usable_cpus", lambda: torch.get_num_threads() + 3)
    found = only(device_check.check_threads(torch.device("cpu")))
    assert found.state == "note" and found.fix.startswith(f"runtime.threads={torch.get_num_threads() + 3}")


# places


@pytest.mark.parametrize(("free", "state"), [(10**8, "problem"), (5 * 10**9, "note"), (10**11, "ok")])
def test_room_on_the_disk(free, state, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, free))
    found = places_check.check_free_space("runs in", tmp_path / "not" / "yet" / "there", "elsewhere")
    assert found.state == state and format_quantity(free, "B") in found.message
    assert not (tmp_path / "not").exists()


def test_a_place_that_cannot_be_written_to_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(places_check, "is_writable", lambda folder: False)
    found = places_check.check_directories(tmp_path, tmp_path)
    assert [item.state for item in found] == ["problem", "problem"]
    assert "hydra.run.dir=DIR" in found[0].fix and "data.cache=DIR" in found[1].fix
    assert {item.state for item in places_check.check_weight_caches(tmp_path, tmp_path)} == {"problem"}


def test_writing_is_tried_and_leaves_nothing(tmp_path):
    assert places_check.is_writable(tmp_path) and list(tmp_path.iterdir()) == []
    assert not places_check.is_writable(tmp_path / "gone")


def test_published_weights_are_counted(tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet18.pth").write_bytes(bytes(2000))
    ours, theirs = places_check.check_weight_caches(tmp_path, tmp_path / "other")
    assert "1 published weights, 2 kB" in ours.message and "no published weights yet" in theirs.message


def test_the_caches_are_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert places_check.get_cache_directories() == (tmp_path / "torch", tmp_path / "caches" / "huggingface")


# hosts


def test_hosts_that_do_not_answer_are_a_note_that_names_them(monkeypatch):
    monkeypatch.setattr(hosts_check, "is_host_reachable", lambda url: "huggingface" not in url)
    found = only(hosts_check.check_hosts())
    assert found.state == "note" and "huggingface.co" in found.message and "pytorch.org" not in found.message


def test_hosts_that_answer_are_ok(monkeypatch):
    monkeypatch.setattr(hosts_check, "is_host_reachable", lambda url: True)
    assert only(hosts_check.check_hosts()).state == "ok"


def test_a_closed_port_does_not_answer():
    assert hosts_check.is_host_reachable("http://127.0.0.1:9") is False


# data


def test_data_are_counted():
    found = only(data_check.check_data(composed(*TINY).experiment, "fake"))
    assert found.state == "ok" and "images of 4 classes" in found.message


def test_few_images_of_a_class_are_a_note():
    found = only(data_check.check_data(composed(*TINY, "data.num_images=24").experiment, "fake"))
    assert found.state == "note" and "only " in found.message and "training images of color_" in found.message


def test_a_batch_that_the_images_do_not_fill_is_a_note():
    found = only(data_check.check_data(composed(*TINY, "data.num_images=24", "batch_size=64").experiment, "fake"))
    assert found.state == "note" and "batch_size=64 is larger than the training set, and made smaller" in found.message
    assert found.fix == "batch_size=16 says the same"


def test_data_that_cannot_be_read_are_a_problem_with_their_key(tmp_path):
    experiment = composed("data=image_folder", f"data.root={tmp_path / 'nowhere'}").experiment
    found = only(data_check.check_data(experiment, "image_folder"))
    assert found.state == "problem" and "data.root=" in found.message
    assert "correct that key, or replace or remove that file or line" in found.fix


# store and runs


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_tracking_is_a_note(here):
    assert only(store_check.check_store({"figures": True})).state == "note"


def test_a_store_that_is_not_there_yet_is_not_made(here):
    found = only(store_check.check_store({"uri": None, "experiment": "sota_exp"}))
    assert found.state == "ok" and "will be created" in found.message and list(here.iterdir()) == []


def test_a_server_that_does_not_answer_is_a_problem(here):
    found = only(store_check.check_store({"uri": "http://127.0.0.1:9", "experiment": "sota_exp"}))
    assert found.state == "problem" and "does not answer" in found.message


def test_a_folder_whose_name_is_not_utf_8_is_a_problem(here, monkeypatch):
    place = here / "bytes\udcff"
    place.mkdir()
    monkeypatch.chdir(place)
    found = only(store_check.check_store({"uri": None, "experiment": "sota_exp"}))
    assert found.state == "problem" and "a database needs a path in UTF-8" in found.message


def test_a_file_that_is_no_store_is_a_problem(here):
    (here / "mlflow.db").write_text("no database")
    found = only(store_check.check_store({"uri": None, "experiment": "sota_exp"}))
    assert found.state == "problem" and "mlflow.db is no SQLite database; move it away" in found.message


def made(run: Path, status: str | None, tracking: dict[str, object]) -> None:
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(json.dumps({"tracking": tracking}))
    (run / "start.json").write_text("{}")
    if status is not None:
        (run / "result.json").write_text(json.dumps({"status": status}))


def test_runs_are_counted_and_what_waits_is_named(here):
    assert "none yet" in only(store_check.check_runs()).message
    made(here / "outputs" / "a", "finished", {})
    made(here / "outputs" / "b", "interrupted", {})
    made(here / "multirun" / "c" / "0", "finished", {"experiment": "sota_exp"})
    made(here / "multirun" / "c" / "1", None, {})
    counted, unsent, unfinished = store_check.check_runs()
    assert counted.message.startswith("4 below")
    assert "1 not sent" in unsent.message and unsent.fix == "sota-exp sync" and "multirun/c/0" in unsent.message
    assert "2 not finished" in unfinished.message and "outputs/b (interrupted)" in unfinished.message


@pytest.mark.parametrize("status", [None, "interrupted"])
def test_a_run_that_trains_now_is_neither_unfinished_nor_unsent(status, here):
    """Of the first start, or of a later one beside the result of an earlier start; it ends with its own result."""
    run = Path("outputs/run")
    write_run(run, num_epochs=1, status=status)
    write_run(run, num_epochs=1, status=None, start="another")
    counted, running = store_check.check_runs()
    assert counted.message.startswith("1 below") and counted.state == running.state == "ok"
    assert running.message == "1 being trained now, such as outputs/run" and not running.fix
    with pytest.raises(ConfigError, match="outputs/run is being trained at this moment"):
        find_run_weights(run)
    out = Console(file=io.StringIO(), width=120)
    out.print(describe_directory(run))
    assert "a run is being trained there at this moment" in out.file.getvalue()
    write_run(run, num_epochs=1, status=None, pid=2**22 + 1)  # Its process is dead.
    (run / "result.json").unlink(missing_ok=True)
    assert "1 not finished, such as outputs/run (no result)" in [each.message for each in store_check.check_runs()][-1]
