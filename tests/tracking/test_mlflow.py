"""Tracking in MLflow does not slow training down, survives dead servers, and leaves the rest to `sync`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sota_exp.runs.contents import RunContent
from sota_exp.runs.mlflow_store import PROBE_PATH, resolve_uri
from sota_exp.runs.sent_position import SentPosition, read_origin
from sota_exp.stages.stage import InvalidValue
from sota_exp.tracking import mlflow_process
from sota_exp.tracking.mlflow import MLflow, format_notice, format_notice_of_all
from sota_exp.tracking.mlflow_content import build_points
from sota_exp.tracking.mlflow_follow import RunUploader
from sota_exp.tracking.mlflow_process import close_idle
from sota_exp.tracking.pipe_lines import PipeLines
from tests.forked import Program
from tests.run_directories import write_epochs, write_run
from tests.runs.test_mlflow_store import server

#: MLflow's own code triggers warnings of SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FIELDS = {
    "figures": True,
    "uri": None,
    "experiment": "sota_exp",
    "log_model": False,
    "system_metrics": True,
    "system_interval": 1.0,
    "timeout": 2,
    "retries": 1,
    "patience": 60.0,
}


#: Above the second that a dead server may cost, for a machine under load; below the 10 s and more of its own time-outs.
#: `benchmarks/outages.py` measures the real cost.
LEFT_SECONDS = 8.0


def history(uri: str, directory: Path) -> list[tuple[str, int, float]]:
    """Every point on the server except system metrics."""
    client = MlflowClient(uri)
    run = client.get_run(SentPosition.read(directory).run_id)
    series = (client.get_metric_history(run.info.run_id, key) for key in run.data.metrics if key[:7] != "system/")
    return sorted((point.key, point.step, point.value) for metric in series for point in metric)


def expected(directory: Path) -> list[tuple[str, int, float]]:
    content = RunContent.read(directory, read_origin(directory, {}))
    return sorted((point.key, point.step, float(point.value)) for point in build_points(content))


def samples(uri: str, directory: Path) -> list[int]:
    """The steps at which the server has the CPU load."""
    client, run_id = MlflowClient(uri), SentPosition.read(directory).run_id
    return (
        []
        if run_id is None
        else [point.step for point in client.get_metric_history(run_id, "system/cpu_utilization_percentage")]
    )


def wait_for_samples(uri: str, directory: Path, num: int) -> None:
    deadline = time.monotonic() + 60
    while len(samples(uri, directory)) < num and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uri", ""),
        ("uri", "http://127.0.0.1:57O2"),
        ("uri", "http://:5000"),
        ("uri", "http://host:99999"),
        ("experiment", " "),
        ("timeout", 0),
        ("retries", -1),
        ("patience", -1.0),
        ("system_interval", 0.1),
    ],
)
def test_illegal_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidValue, match=name):
        MLflow(**{**FIELDS, name: value})


def test_the_follower_imports_neither_torch_nor_mlflow_to_begin_with() -> None:
    code = "import sota_exp.tracking.mlflow_follow, sys; sys.exit(bool({'mlflow', 'torch'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": "."}, check=False).returncode == 0
    )


def test_a_run_is_shown_while_it_trains(tmp_path: Path, made_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(made_store, tmp_path / "mlflow.db")
    directory = write_run(tmp_path / "run", num_epochs=1, status=None)
    follower = MLflow(**FIELDS).follow(directory)
    wait_for_samples(resolve_uri(None, tmp_path), directory, 1)
    write_epochs(directory, 2)
    write_run(directory)
    said = follower.finish()
    position = SentPosition.read(directory)
    assert position.sent and position.problem is None
    assert said == f"MLflow: run {position.run_id}; see it with sota-exp dashboard"
    assert history(position.uri, directory) == expected(directory)
    keys = MlflowClient(position.uri).get_run(position.run_id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(keys)


def test_samples_of_the_machine_go_on_after_a_kill(
    tmp_path: Path, made_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(made_store, tmp_path / "mlflow.db")
    uri = resolve_uri(None, tmp_path)
    directory = write_run(tmp_path / "run", num_epochs=1, status=None)
    for num in (1, 3):
        following = MLflow(**FIELDS).follow(directory).following  # type: ignore[attr-defined]
        wait_for_samples(uri, directory, num)
        following.close()
    there = samples(uri, directory)
    assert len(there) >= 3 and there == list(range(len(there)))


def test_a_machine_that_mlflow_cannot_watch_is_no_reason_to_stop(
    tmp_path: Path, made_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.system_metrics.metrics import network_monitor

    monkeypatch.chdir(tmp_path)
    shutil.copy(made_store, tmp_path / "mlflow.db")
    directory = write_run(tmp_path / "run", num_epochs=1, status=None)
    SentPosition().at(resolve_uri(None, tmp_path), "sota_exp").write(directory)
    monkeypatch.setattr(network_monitor.psutil, "net_io_counters", lambda: None)
    following = RunUploader(directory, 1.0, lambda word: None)
    following.send()
    assert following.monitor is None and SentPosition.read(directory).problem is None


@pytest.mark.parametrize(
    ("status", "well"),
    [(500, None), (None, None), (None, "/health")],
    ids=["500", "hung", "hung behind its health"],
)
def test_a_server_of_no_use_is_not_waited_for(
    tmp_path: Path, status: int | None, well: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = write_run(tmp_path / "run", num_epochs=1, status=None)
    with server(status, well) as uri:
        began = time.monotonic()
        follower = MLflow(**{**FIELDS, "uri": uri, "timeout": 20}).follow(directory)
        started = time.monotonic() - began
        write_run(directory)
        began = time.monotonic()
        said = follower.finish()
        assert started + time.monotonic() - began < LEFT_SECONDS
    close_idle()
    assert follower.following.process.wait(timeout=60) == 0, "it is left, and ends"  # type: ignore[attr-defined]
    assert said.startswith("MLflow: not everything is sent") and said.endswith("sota-exp sync run")
    assert not SentPosition.read(directory).sent


def test_a_server_that_takes_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers the first probe and hangs in all other requests; the process continues alone, and ends."""
    monkeypatch.chdir(tmp_path)
    directory = write_run(tmp_path / "run", num_epochs=1, status=None)
    with server(None, well=PROBE_PATH) as uri:
        follower = MLflow(**{**FIELDS, "uri": uri, "timeout": 20}).follow(directory)
        following = follower.following  # type: ignore[attr-defined]
        while not following.is_ready and following.process.poll() is None:
            time.sleep(0.1)
        write_run(directory)
        began = time.monotonic()
        said = follower.finish()
        assert time.monotonic() - began < LEFT_SECONDS
    assert said == f"MLflow: {uri} is slow; sending continues in the background; if it fails, run sota-exp sync run"
    assert following.process.wait(timeout=60) == 0
    assert not SentPosition.read(directory).sent and SentPosition.read(directory).problem


def test_no_server_at_all_is_said_and_mended_by_sync(
    tmp_path: Path, made_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sota_exp.cli import sync
    from sota_exp.errors import RunFailed

    monkeypatch.setenv("SOTA_EXP_TRUST", "1")  # write_run signs nothing
    monkeypatch.chdir(tmp_path)
    with server(200) as uri:
        pass
    directory = write_run(tmp_path / "run", status=None)
    follower = MLflow(**{**FIELDS, "uri": uri}).follow(directory)
    write_run(directory)
    assert "sota-exp sync run" in follower.finish()
    close_idle()
    assert follower.following.process.wait(timeout=60) == 0  # type: ignore[attr-defined]
    with pytest.raises(RunFailed, match="1 of 1 runs are not sent"):
        sync.main([str(directory)])
    assert "does not answer" in capsys.readouterr().out
    shutil.copy(made_store, tmp_path / "mlflow.db")
    sync.main(["--uri", f"sqlite:///{tmp_path / 'mlflow.db'}", str(directory)])
    assert history(SentPosition.read(directory).uri, directory) == expected(directory)


def test_a_killed_trainer_leaves_no_follower_behind(
    tmp_path: Path, made_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(made_store, tmp_path / "mlflow.db")
    directory = write_run(tmp_path / "run", num_epochs=1, status=None, pid=2**22 + 1)
    follower = MLflow(**FIELDS).follow(directory)
    process = follower.following.process  # type: ignore[attr-defined]
    process.stdin.close()  # As the kernel does for a process that is killed.
    assert process.wait(timeout=60) == 0
    position = SentPosition.read(directory)
    assert MlflowClient(position.uri).get_run(position.run_id).info.status == "KILLED"


def test_runs_one_after_the_other_share_a_process(
    tmp_path: Path, made_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(made_store, tmp_path / "mlflow.db")
    processes = []
    for name, timeout in (("a", 2), ("b", 2), ("c", 3), ("d", 3)):
        directory = write_run(tmp_path / name, num_epochs=1, status=None)
        follower = MLflow(**{**FIELDS, "timeout": timeout, "system_metrics": False}).follow(directory)
        processes.append(follower.following.process)  # type: ignore[attr-defined]
        write_run(directory)
        assert follower.finish() == f"MLflow: run {SentPosition.read(directory).run_id}; see it with sota-exp dashboard"
        assert history(SentPosition.read(directory).uri, directory) == expected(directory)
        if name == "c":
            processes[-1].kill()
            processes[-1].wait()
    one, same, other, fresh = processes
    assert one is same and len({one.pid, other.pid, fresh.pid}) == 3
    assert one.poll() == 0, "a process with other settings is let go"
    close_idle()
    assert fresh.poll() == 0


def test_a_place_that_cannot_be_written_is_no_reason_to_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert MLflow(**FIELDS).follow(tmp_path / "nowhere").finish() == ""
    assert "tracking did not start" in capsys.readouterr().err


TINY = [
    "data=fake",
    "data.image_size=16",
    "data.num_images=60",
    "data.num_classes=4",
    "data.min_side=20",
    "data.max_side=28",
    "model.arch.name=resnet_xs",
    "model.arch.width_multiplier=0.25",
    "batch_size=16",
    "schedule.length.epochs=2",
    "runtime.device=cpu",
    "runtime.threads=1",
    "tracking=mlflow",
    "tracking.figures=false",
]


def train(root: Path, *overrides: str) -> Program:
    return Program("train", *TINY, *overrides, cwd=root, output=root / "said.txt")


@pytest.mark.slow
@pytest.mark.torture  # MLflow makes its tables for four seconds in each process
def test_two_runs_at_once_on_a_store_that_is_not_there(tmp_path: Path) -> None:
    running = [train(tmp_path, f"seed={seed}", "tracking.patience=300") for seed in range(2)]
    assert [process.wait() for process in running] == [0] * 2, (tmp_path / "said.txt").read_text()
    directories = sorted((tmp_path / "outputs").iterdir())
    assert len(directories) == 2
    for directory in directories:
        assert history(SentPosition.read(directory).uri, directory) == expected(directory)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hung", pytest.param("killed", marks=pytest.mark.torture)])
def test_a_server_lost_in_the_middle_is_caught_up_with(
    name: str, tmp_path: Path, made_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped server accepts connections, because the kernel does, and never answers; a killed one refuses them."""
    from sota_exp.cli import sync
    from sota_exp.cli.dashboard import find_free_port

    monkeypatch.chdir(tmp_path)
    shutil.copy(made_store, tmp_path / "mlflow.db")
    port = find_free_port(5100)
    uri = f"http://127.0.0.1:{port}"
    serving = serve(tmp_path, port)
    try:
        running = train(tmp_path, f"tracking.uri={uri}", "schedule.length.epochs=60", f"hydra.run.dir={name}")
        deadline = time.monotonic() + 120
        while SentPosition.read(tmp_path / name).run_id is None and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(serving.pid, signal.SIGKILL if name == "killed" else signal.SIGSTOP)
        status, said = running.wait(300), (tmp_path / "said.txt").read_text()
        assert status == 0, said
        assert f"sota-exp sync {name}" in said
        if name == "hung":
            os.killpg(serving.pid, signal.SIGCONT)
        else:
            serving.wait()
            serving = serve(tmp_path, port)
        # A server that goes on may have got everything from the process of the training meanwhile.
        for words in ("things were missing" if name == "killed" else "missing", "nothing was missing"):
            capsys.readouterr()
            sync.main([name])
            assert words in capsys.readouterr().out
        assert history(uri, tmp_path / name) == expected(tmp_path / name)
    finally:
        serving.kill_group()


def serve(root: Path, port: int) -> Program:
    from sota_exp.cli.dashboard import wait_until_ready

    words, said = (str(root / "mlflow.db"), str(port)), root / "server.log"
    process = Program(*words, path=Path(__file__).with_name("mlflow_server.py"), output=said)
    with said.open("a+b") as file:
        wait_until_ready(process, file, f"http://127.0.0.1:{port}")
    return process


@pytest.mark.parametrize(
    ("uri", "experiment", "command"),
    [
        (None, "sota_exp", "sota-exp dashboard"),
        (None, "my own", "sota-exp dashboard --experiment 'my own'"),
        ("http://host:5000", "sota_exp", "sota-exp dashboard --uri http://host:5000"),
    ],
)
def test_the_end_names_the_command_that_shows_this_run(
    uri: str | None, experiment: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SentPosition(uri=resolve_uri(uri, tmp_path), experiment=experiment, run_id="abc", sent="yes").write(tmp_path)
    assert format_notice(tmp_path) == f"MLflow: run abc; see it with {command}"


def test_a_sweep_says_once_where_its_runs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert format_notice_of_all(tmp_path / "sweep") == ""
    for number in range(3):
        (tmp_path / "sweep" / str(number)).mkdir(parents=True)
        position = SentPosition(
            uri=resolve_uri(None, tmp_path), experiment="sota_exp", run_id="a", sent="yes" if number else ""
        )
        position.write(tmp_path / "sweep" / str(number))
    (tmp_path / "sweep" / "tracking.json").write_text('{"id": "of the sweep itself"}')
    unsent = "MLflow: 1 of 3 runs are not sent in full; nothing is lost, run sota-exp sync sweep"
    assert format_notice_of_all(tmp_path / "sweep") == unsent
    SentPosition(uri=resolve_uri(None, tmp_path), experiment="sota_exp", run_id="a", sent="yes").write(
        tmp_path / "sweep" / "0"
    )
    assert format_notice_of_all(tmp_path / "sweep") == "MLflow: 3 runs; see them with sota-exp dashboard"


def test_processes_that_were_left_and_have_ended_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_process, "_left", [])
    for _ in range(3):
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        mlflow_process.UploadProcess(process=process, settings={}, messages=PipeLines(process.stdout)).detach()
        process.wait(timeout=60)
    assert mlflow_process._left == [process]
