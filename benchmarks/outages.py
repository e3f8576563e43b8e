"""What a tracking server of no use costs a training: its time against the same training without tracking.

Run as `python -m benchmarks.outages`. Each case trains the same small run as a command of its own, the cases taking turns, and
medians over turns are compared: of the whole command, which on a busy machine also shows that a process follows it, and of what comes
after the result is written, which is where training waits for the server. Then `sota-exp sync` sends the rest, twice.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from sota_exp.cli.dashboard import find_free_port, start_server, stop_server, wait_until_ready

NUM_TURNS = 3

#: About twenty seconds of training on one core.
TRAINING = ("train", "scale=smoke", "scale.epochs=12", "runtime.threads=1", "tracking.figures=false")


@contextmanager
def working(root: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """An MLflow server on an SQLite store in `root`, and its process."""
    port = find_free_port(5200)
    uri = f"http://127.0.0.1:{port}"
    with (root / "server.log").open("w+b") as said:
        process = start_server(f"sqlite:///{root / 'mlflow.db'}", port, said)
        try:
            wait_until_ready(process, said, uri)
            yield uri, process
        finally:
            stop_server(process)


@contextmanager
def failing() -> Iterator[str]:
    """A server that answers 500 to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(500)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


@contextmanager
def hanging() -> Iterator[str]:
    """A socket that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def absent() -> Iterator[str]:
    """An address where nobody listens."""
    yield f"http://127.0.0.1:{find_free_port(5300)}"


class Times(NamedTuple):
    """Wall-clock seconds of a command, and how many of them come after its result is written."""

    whole: float
    wait: float


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "sota_exp", *words]


def trained(root: Path, name: str, uri: str | None, disturb: "subprocess.Popen[bytes] | None" = None) -> Times:
    """A command's times; `disturb` is killed after the first epoch."""
    tracking = "tracking=none" if uri is None else f"tracking.uri={uri}"
    began = time.monotonic()
    running = subprocess.Popen(
        command(*TRAINING, tracking, f"hydra.run.dir={root / name}"), cwd=root, stdout=subprocess.PIPE, text=True
    )
    if disturb is not None:
        while not (root / name / "metrics.jsonl").exists():
            time.sleep(0.05)
        os.killpg(disturb.pid, signal.SIGKILL)
    said, _ = running.communicate()
    seconds = time.monotonic() - began
    ended = time.time()
    if running.returncode != 0:
        raise RuntimeError(f"{name}: exit status {running.returncode}\n{said}")
    return Times(seconds, ended - (root / name / "result.json").stat().st_mtime)


def median(taken: Sequence[Times]) -> Times:
    return Times(*(statistics.median(seconds) for seconds in zip(*taken, strict=True)))


def main() -> None:
    """Print a row a case, then what `sync` says."""
    times: dict[str, list[Times]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        trained(root, "first", None)  # Files come from the disk once.
        for turn in range(NUM_TURNS):
            times.setdefault("no tracking", []).append(trained(root, f"none{turn}", None))
            for name, outage in (("500", failing), ("hung", hanging), ("absent", absent)):
                with outage() as uri:
                    times.setdefault(name, []).append(trained(root, f"{name}{turn}", uri))
            with working(root) as (uri, process):
                times.setdefault("working", []).append(trained(root, f"working{turn}", uri))
                times.setdefault("killed", []).append(trained(root, f"killed{turn}", uri, process))
        base = median(times["no tracking"])
        for name, taken in times.items():
            whole, wait = median(taken)
            print(
                f"{name:<12} {whole:6.2f} s ({whole - base.whole:+.2f})   at the end {wait:5.2f} s ({wait - base.wait:+.2f})"
            )
        with working(root) as (uri, _):
            names = [f"{name}{turn}" for name in ("500", "hung", "absent", "killed") for turn in range(NUM_TURNS)]
            for _ in range(2):
                sync = command("sync", "--uri", uri, *names)
                print(subprocess.run(sync, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
