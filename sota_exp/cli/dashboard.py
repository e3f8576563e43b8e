"""`sota-exp dashboard`: MLflow's own page on the store of this directory, opened at a view of ours."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from pathlib import Path
from types import FrameType
from typing import IO

from sota_exp.errors import ConfigError, RunFailed
from sota_exp.runs.mlflow_store import (
    DEFAULT_EXPERIMENT,
    answers,
    database,
    environment,
    masked,
    require_legal,
    resolved,
)

#: MLflow's server starts within ten seconds on a laptop.
START_SECONDS = 120

#: Ports tried after the one asked for.
NUM_PORTS = 50


def main(arguments: list[str]) -> None:
    """Start the page and stay until Ctrl-C; of a server that is there already, only say where."""
    options = parser().parse_args(arguments)
    if options.uri is not None:
        require_legal(options.uri)
    uri = resolved(options.uri, Path.cwd())
    os.environ.update(environment(30, 2))
    if uri.startswith(("http://", "https://")):
        if not answers(uri, 5.0):
            raise RunFailed(masked(f"{uri} does not answer"))
        prepare(uri, options.experiment)
        show(uri, uri, options.experiment, not options.no_browser)
        return
    serve(uri, options)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="sota-exp dashboard", description="MLflow's page on the runs of this directory."
    )
    made.add_argument("--port", type=int, default=5000, help="the first free one from here on is taken (default: 5000)")
    made.add_argument("--no-browser", action="store_true", help="only print the address")
    made.add_argument("--uri", help="a store other than mlflow.db in this directory")
    made.add_argument("--experiment", default=DEFAULT_EXPERIMENT, help=f"default: {DEFAULT_EXPERIMENT}")
    return made


def serve(uri: str, options: argparse.Namespace) -> None:
    print("opening the store …", flush=True)
    prepare(uri, options.experiment)
    port = free_port(options.port)
    if port != options.port:
        print(f"port {options.port} is taken; {port} is free")
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as said:
        stay(start(uri, port, said), said, address, uri, options)


def prepare(uri: str, experiment: str) -> None:
    """Write the views of an experiment anew, by the runs that it holds now; say where there are none.

    Raises:
        ConfigError: there is no such experiment; ours is made where the store holds none yet.
    """
    from sota_exp.runs.mlflow_store import experiment_id, opened
    from sota_exp.tracking.mlflow_views import write_views

    client = opened(uri)
    if experiment != DEFAULT_EXPERIMENT and client.get_experiment_by_name(experiment) is None:
        names = ", ".join(found.name for found in client.search_experiments())
        raise ConfigError(f"--experiment={experiment}: {masked(uri)} has no such experiment; legal: {names}")
    number = experiment_id(client, uri, experiment)
    write_views(client, number)
    if not client.search_runs([number], max_results=1):
        print(f"no run yet in experiment {experiment}; sota-exp train makes the first")


def stay(
    process: subprocess.Popen[bytes], said: IO[bytes], address: str, uri: str, options: argparse.Namespace
) -> None:
    """Say where to look when the server is ready, and end it at Ctrl-C or SIGTERM."""
    stopping = signal.signal(signal.SIGTERM, interrupt)
    try:
        wait_until_ready(process, said, address)
        show(address, uri, options.experiment, not options.no_browser)
        print("Ctrl-C ends it.", flush=True)
        process.wait()
        raise RunFailed(f"MLflow's server ended by itself with status {process.returncode}")
    except KeyboardInterrupt:
        print("\nended")
    finally:
        end(process)
        signal.signal(signal.SIGTERM, stopping)


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens at."""
    if not 1 <= first <= 65535:
        raise ConfigError(f"--port={first} is not legal: 1 to 65535")
    for port in range(first, min(first + NUM_PORTS, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RunFailed(f"no free port from {first} on; name another with --port=…")


def start(uri: str, port: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """MLflow's server on the loopback, in a process group of its own, so that its workers end with it; its words go to `said`."""
    path = database(uri)
    artifacts = (path.parent if path else Path.cwd()) / "mlartifacts"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(artifacts)]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # 240 MB for what no run here needs.
    environ = os.environ | quiet
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True)


def wait_until_ready(process: subprocess.Popen[bytes], said: IO[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(address, 1.0):
        if process.poll() is not None:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise RunFailed(f"MLflow's server did not start: {lines[-1] if lines else process.returncode}")
        if time.monotonic() > deadline:
            raise RunFailed(f"MLflow's server did not answer within {START_SECONDS} s")
        time.sleep(0.2)


def end(process: subprocess.Popen[bytes]) -> None:
    """Its whole group: gently, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue


def show(address: str, uri: str, experiment: str, in_browser: bool) -> None:
    """Print where to look, and open the first view."""
    import mlflow
    from mlflow import MlflowClient

    from sota_exp.tracking.mlflow_views import view_links

    found = MlflowClient(uri).get_experiment_by_name(experiment)
    assert found is not None
    links = view_links(address, found.experiment_id, mlflow.__version__)
    print(f"MLflow on {masked(uri)}")
    for name, link in links.items():
        print(f"  {name}\n    {link}")
    if in_browser:
        webbrowser.open(next(iter(links.values())))
