"""`sota-exp dashboard`: port, store, and end of the server."""

import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sota_exp.cli import sync
from sota_exp.cli.dashboard import find_free_port, main, prepare_experiment
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.runs.mlflow_store import find_connection_problem, open_store
from tests.forked import Program


def test_a_port_in_use_is_skipped() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < find_free_port(port) <= port + 50


@pytest.mark.parametrize("port", [0, 70000])
def test_an_illegal_port(port: int) -> None:
    with pytest.raises(ConfigError, match=f"--port: {port} is not legal: a whole number from 1 to 65535"):
        main(["--port", str(port)])


def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(RunFailed, match="does not answer"):
        main(["--uri", "http://127.0.0.1:9", "--no-browser"])


@pytest.mark.slow
@pytest.mark.parametrize("is_there", [True, pytest.param(False, marks=pytest.mark.torture)])
def test_it_opens_or_creates_the_store_and_ends_at_ctrl_c(is_there: bool, tmp_path: Path, made_store: Path) -> None:
    said = tmp_path / "said.txt"
    if is_there:
        shutil.copy(made_store, tmp_path / "mlflow.db")
    process = Program("dashboard", "--no-browser", "--port", "5200", cwd=tmp_path, output=said)
    try:
        while not said.exists() or "Ctrl-C" not in said.read_text():
            assert process.poll() is None, said.read_text()
            time.sleep(0.05)
        address = next(line for line in said.read_text().splitlines() if "http://" in line).strip().split("/#/")[0]
        assert not find_connection_problem(address, 5.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
    time.sleep(0.2)
    assert find_connection_problem(address, 0.5)
    assert (tmp_path / "mlflow.db").exists()


def test_an_unknown_experiment_is_refused_and_not_created(
    tmp_path: Path, made_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{shutil.copy(made_store, tmp_path)}"
    open_store(uri).create_experiment("mine")
    with pytest.raises(ConfigError, match=r"--experiment=mien: sqlite:.* has no such experiment; legal: mine, Default"):
        prepare_experiment(uri, "mien")
    assert {found.name for found in open_store(uri).search_experiments()} == {"Default", "mine"}
    prepare_experiment(uri, "mine")
    assert capsys.readouterr().out == "no run yet in experiment mine; create one with sota-exp train\n"


@pytest.mark.parametrize("command", [main, sync.main])
def test_an_unsupported_store_is_refused(command: Callable[[list[str]], None]) -> None:
    with pytest.raises(ConfigError, match=r"--uri=htp://typo is not legal: .* by http, https, sqlite"):
        command(["--uri", "htp://typo"])
