"""`sota-exp dashboard`: MLflow's web page for the store of this directory, with links to prepared views."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import IO

from sota_exp.cli.command_line import CommandLine, one_number
from sota_exp.config.credentials import reveal_credentials
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.runs.mlflow_store import (
    DEFAULT_EXPERIMENT,
    build_mlflow_environment,
    find_connection_problem,
    get_or_create_experiment,
    get_sqlite_path,
    is_http_uri,
    mask_passwords,
    open_store,
    require_supported_uri,
    resolve_uri,
)

#: Timeout for the start of MLflow's server, which takes about ten seconds on a laptop.
START_TIMEOUT_SECONDS = 120

#: Number of ports that are tried.
MAX_PORT_ATTEMPTS = 50

COMMAND = CommandLine(
    "dashboard",
    "Serves MLflow's web page for the runs of this directory, with links to prepared views, until Ctrl-C. For a store "
    "behind a server it only prints and opens the address.",
    {
        "dashboard": "mlflow.db in this directory",
        "dashboard --port 5001 --no-browser": "over SSH: forward the port",
        "dashboard --uri http://host:5000 --experiment animals": "a server's",
    },
)
COMMAND.add_argument(
    "--port", type=one_number(1, 65535), default=5000, help="the first that is tried; a taken one is skipped"
)
COMMAND.add_argument("--no-browser", action="store_true", help="only print the address")
COMMAND.add_argument("--uri", help="another store than mlflow.db in this directory")
COMMAND.add_argument("--experiment", metavar="NAME", default=DEFAULT_EXPERIMENT, help="the experiment to open")


def main(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C; for a store behind a server, only print and open its address.

    Raises:
        ConfigError: an illegal URI, or an unknown experiment.
        RunFailed: the server does not answer.
    """
    options = COMMAND.parse(arguments)
    if options.uri is not None:
        require_supported_uri(options.uri)
    uri = resolve_uri(options.uri, Path.cwd())
    os.environ.update(build_mlflow_environment(uri, 30, 2))
    if is_http_uri(uri):
        if problem := find_connection_problem(uri, 5.0):
            raise RunFailed(mask_passwords(problem))
        open_dashboard(uri, uri, prepare_experiment(uri, options.experiment), not options.no_browser)
        return
    print("opening the store …", flush=True)
    experiment_id = prepare_experiment(uri, options.experiment)
    port = find_free_port(options.port)
    if port != options.port:
        print(f"port {options.port} is taken; {port} is free")
    with tempfile.TemporaryFile() as errors:
        serve_until_interrupted(uri, port, errors, experiment_id, not options.no_browser)


def prepare_experiment(uri: str, experiment: str) -> str:
    """Write the views of an experiment for its present runs, and return its id; the default experiment is created.

    Raises:
        ConfigError: there is no such experiment.
    """
    from sota_exp.tracking.mlflow_views import write_views

    client = open_store(uri)
    if experiment != DEFAULT_EXPERIMENT and client.get_experiment_by_name(experiment) is None:
        names = ", ".join(found.name for found in client.search_experiments())
        raise ConfigError(f"--experiment={experiment}: {mask_passwords(uri)} has no such experiment; legal: {names}")
    number = get_or_create_experiment(client, uri, experiment)
    write_views(client, number)
    if not client.search_runs([number], max_results=1):
        print(f"no run yet in experiment {experiment}; create one with sota-exp train")
    return number


def serve_until_interrupted(uri: str, port: int, errors: IO[bytes], experiment_id: str, in_browser: bool) -> None:
    """Start MLflow's server, print and open its address when it is ready, and end it at Ctrl-C or SIGTERM.

    Raises:
        RunFailed: the server did not start, or ended.
    """
    previous_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    address = f"http://127.0.0.1:{port}"
    process = start_server(uri, port, errors)
    try:
        wait_until_ready(process, errors, address)
        open_dashboard(address, uri, experiment_id, in_browser)
        print("Press Ctrl-C to stop.", flush=True)
        process.wait()
        raise RunFailed(f"MLflow's server ended with status {process.returncode}")
    except KeyboardInterrupt:
        print("\nstopped")
    finally:
        stop_server(process)
        signal.signal(signal.SIGTERM, previous_handler)


def find_free_port(first: int) -> int:
    """Find the first port from `first` on that no program uses.

    Raises:
        RunFailed: all ports are in use.
    """
    for port in range(first, min(first + MAX_PORT_ATTEMPTS, 65536)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RunFailed(f"no free port from {first} on; name another with --port=…")


def start_server(uri: str, port: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start MLflow's server on 127.0.0.1, in its own process group, so that its workers end with it."""
    path = get_sqlite_path(uri)
    artifacts = (path.parent if path else Path.cwd()) / "mlartifacts"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(artifacts)]
    # The address may have a password, which other users could read among the arguments.
    environ = os.environ | {"MLFLOW_BACKEND_STORE_URI": reveal_credentials(uri)}
    environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # Saves 240 MB.
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)


def wait_until_ready(process: subprocess.Popen[bytes], errors: IO[bytes], address: str) -> None:
    """Wait until the server answers.

    Raises:
        RunFailed: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while find_connection_problem(address, 1.0):
        if process.poll() is not None:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            raise RunFailed(f"MLflow's server did not start: {lines[-1] if lines else process.returncode}")
        if time.monotonic() > deadline:
            raise RunFailed(f"MLflow's server did not answer within {START_TIMEOUT_SECONDS} s")
        time.sleep(0.2)


def stop_server(process: subprocess.Popen[bytes]) -> None:
    """End the process group with SIGTERM, then with SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(timeout=5)


def open_dashboard(address: str, uri: str, experiment_id: str, in_browser: bool) -> None:
    """Print the addresses of the views, and open the first one."""
    import mlflow

    from sota_exp.tracking.mlflow_views import build_view_links

    links = build_view_links(address, experiment_id, mlflow.__version__)
    print(f"MLflow on {mask_passwords(uri)}")
    for name, link in links.items():
        print(f"  {name}\n    {link}")
    if in_browser:
        webbrowser.open(next(iter(links.values())))
