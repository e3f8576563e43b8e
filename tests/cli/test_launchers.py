"""Studies and multiruns with joblib whose worker is killed: the numbers, lines and status of one process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sota_exp.cli.main import run_command_line
from sota_exp.cli.multirun_table import MultirunTable
from sota_exp.runs.lock import find_owner, lock_directory, wait_for_owner
from tests import composing
from tests.experiments import OFF, TINY

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")

#: Trainings of about a second, so that a kill meets one.
LONGER = [*TINY, *OFF, "schedule.length.epochs=30", "data.num_images=120"]


def kill_one(place: Path) -> bool:
    """SIGKILL a process that trains, some epochs of it done."""
    for file in place.rglob("owner.json"):
        owner, metrics = find_owner(file.parent), file.parent / "metrics.jsonl"
        if owner and metrics.exists() and metrics.read_text().count("\n") > 1:
            os.kill(owner["pid"], signal.SIGKILL)
            return True
    return False


def launch(place: Path, *arguments: str) -> tuple[int, str, list[int]]:
    """Exit status and output of a command whose first training process is killed; runs that had ended at each line."""
    command = [sys.executable, "-m", "sota_exp", *arguments, *JOBLIB]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    said, ended = [], []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:

        def kill() -> None:
            while process.poll() is None and not kill_one(place):
                time.sleep(0.02)

        killer = threading.Thread(target=kill)
        killer.start()
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.rstrip().endswith(" left"):
                ended.append(len(list(place.rglob("result.json"))))
        killer.join()
    return process.returncode, "".join(said), ended


def read_metrics(place: Path) -> dict[str, dict[str, float]]:
    found = {path.parent: json.loads(path.read_text()) for path in place.rglob("result.json")}
    return {str(run.relative_to(place)): result["metrics"] for run, result in found.items()}


@pytest.mark.torture
@pytest.mark.parametrize(
    "arguments",
    [
        ["ablate", "study=add_one_in", "study.only=[ema]", "study.seeds=3", *LONGER],
        ["train", "-m", "seed=0,1,2,3", *LONGER],
    ],
    ids=["ablate", "train -m"],
)
def test_a_killed_worker_changes_nothing_and_each_run_has_its_line_when_it_ends(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    status, said, ended = launch(tmp_path / "launched", *arguments, "hydra.sweep.dir=launched")
    assert status == 0 and "the launcher lost its process" in said, said
    assert run_command_line([*arguments, "hydra.sweep.dir=plain"]) == 0
    assert read_metrics(tmp_path / "launched") == read_metrics(tmp_path / "plain") != {}
    assert len(ended) == len(read_metrics(tmp_path / "plain")) and ended[0] < ended[-1], said


def test_lines_of_a_multirun_are_those_of_its_new_results(tmp_path, capsys):
    def write(run: int, **facts: object) -> None:
        (tmp_path / str(run)).mkdir(exist_ok=True)
        whole = {"metrics": {"val/accuracy": 0.5}, "seconds": {"train": 2.0}, "reason": None, **facts}
        (tmp_path / str(run) / "result.json").write_text(json.dumps(whole))

    table = MultirunTable()
    write(0, status="finished")
    table.begin(tmp_path, 3)
    table.look()
    assert capsys.readouterr().out == ""
    write(1, status="failed", reason="diverged: train/loss is nan", metrics={})
    write(2, status="interrupted")
    table.look()
    table.look()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("   1/2  run 1  failed: diverged: train/loss is nan, 2.0 s") and line.endswith(" left")


def test_a_run_waits_for_the_process_that_an_earlier_command_left_in_its_directory(tmp_path):
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock_directory(tmp_path))
        threading.Timer(0.3, stack.close).start()
        began = time.monotonic()
        wait_for_owner(tmp_path)
        assert time.monotonic() - began > 0.3 and not find_owner(tmp_path)
    began = time.monotonic()
    wait_for_owner(tmp_path)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    ("launcher", "extra"), [("slurm", "slurm"), ("submitit_local", "slurm"), ("ray", "ray"), ("joblib", "joblib")]
)
def test_a_launcher_that_is_not_installed_says_what_to_install(launcher, extra, capsys, monkeypatch, tmp_path):
    from hydra.core.config_store import ConfigStore

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composing, "_places", {})  # where other tests know the launchers to be
    monkeypatch.setattr(composing, "_listed", {})
    launchers = ConfigStore.instance().repo["hydra"]["launcher"]
    for name in ("submitit_slurm.yaml", f"{launcher}.yaml"):
        if name in launchers:
            monkeypatch.delitem(launchers, name)
    assert run_command_line(["train", "-m", "seed=0,1", f"hydra/launcher={launcher}"]) == 2
    said = capsys.readouterr().err
    assert f"hydra/launcher={launcher}:" in said and f"pip install 'sota-exp[{extra}]'" in said
