"""What a run costs, keeps and sends later, whatever its MLflow server or database does.

`python -m tests.torture.servers` starts the servers itself; each case ends with `sync` into a store that works, and compares
every point there with the files of the run.
"""

import contextlib
import datetime
import functools
import json
import os
import shutil
import socketserver
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import psutil
import requests

from benchmarks.outages import working
from sota_exp.runs.mlflow_store import open_store, resolve_uri
from sota_exp.runs.sent_position import SentPosition
from sota_exp.tracking.mlflow import MLflow, MLflowFollower
from sota_exp.tracking.mlflow_process import close_idle
from tests.experiments import OFF, TINY
from tests.run_directories import write_run
from tests.sweep import postgres
from tests.torture.cases import Fault, Part, run_parts
from tests.torture.disk import small_disk
from tests.torture.fuzz import call

FIELDS = {
    "figures": True,
    "uri": None,
    "experiment": "sota_exp",
    "log_model": False,
    "system_metrics": False,
    "system_interval": 10.0,
    "timeout": 2,
    "retries": 1,
    "patience": 60.0,
}

#: What the end of a run may cost in s, and the sending process in bytes; what its log may take in bytes.
MOST_SECONDS, MOST_MEMORY, MOST_LOG = 3.0, 600 * 2**20, 200_000


def answer(text: bytes) -> Callable[[socketserver.StreamRequestHandler], None]:
    """A server that answers each request so."""
    return lambda handler: handler.wfile.write(text) and None


def repeat(part: bytes, seconds: float = 0.0) -> Callable[[socketserver.StreamRequestHandler], None]:
    """A server whose answer has no end."""

    def send(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            handler.wfile.write(part)
            time.sleep(seconds)

    return send


def status(number: int, *lines: str) -> Callable[[socketserver.StreamRequestHandler], None]:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {number} X", "Content-Length: 2", "Connection: close", *lines))
    return answer(f"{head}\r\n{{}}".encode())


#: What each bad server does with a connection.
SERVERS: dict[str, Callable[[socketserver.StreamRequestHandler], None]] = {
    "401": status(401),
    "500": status(500),
    "redirect to itself": status(302, "Location: /again"),
    "redirect to nowhere": status(307, "Location: http://127.0.0.1:9/"),
    "200 without content": status(200),
    "no answer": lambda handler: time.sleep(20),
    "closes at once": lambda handler: None,
    "one byte per second": repeat(b" ", 1.0),
    "garbage": answer(bytes(range(256)) * 40),
    "an endless line": answer(b"H" * 10_000_000),
    "an endless body": repeat(b"x" * 2**20),
    "expired certificate": status(200),
}


@contextlib.contextmanager
def serve(behaviour: str) -> Iterator[str]:
    """A bad server, and its address."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.settimeout(30)
                self.request.recv(65536)
                SERVERS[behaviour](self)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address, block_on_close = True, True, False

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing."""

    with Server(("127.0.0.1", 0), Handler) as server:
        is_secure = behaviour == "expired certificate"
        if is_secure:
            server.socket = make_expired_context().wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"{'https' if is_secure else 'http'}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def make_expired_context() -> ssl.SSLContext:
    """The context of a server whose certificate expired yesterday."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - datetime.timedelta(days=9))
    signed = made.not_valid_after(now - datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, *plain))
        file.write(signed.public_bytes(serialization.Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)
    return context


def follow(directory: Path, uri: str, seconds_left: float = 20) -> tuple[float, float]:
    """(seconds that the end of a run waits, most bytes that its sending process takes), which ends `seconds_left` later."""
    follower = MLflow(**{**FIELDS, "uri": uri}).follow(directory)  # type: ignore[arg-type]
    assert isinstance(follower, MLflowFollower)
    process = follower.following.process
    peak, ended = [0], threading.Event()

    def watch() -> None:
        with contextlib.suppress(psutil.Error):
            while not ended.wait(0.05):
                peak[0] = max(peak[0], psutil.Process(process.pid).memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    time.sleep(8)  # while it trains
    began = time.monotonic()
    follower.finish()
    seconds = time.monotonic() - began
    close_idle()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds_left)
    ended.set()
    watching.join()
    process.kill()
    process.wait()
    return seconds, peak[0]


def require_sent(directory: Path, where: Path) -> None:
    """Send the run to a store that works, twice, and compare every point with the files.

    Raises:
        Fault: a point is missing, is there twice, or another.
    """
    from tests.tracking.test_mlflow import expected, history

    uri = f"sqlite:///{where / 'whole.db'}"
    for _ in range(2):
        code, text = call(["sync", str(directory), "--uri", uri])
        if code or history(uri, directory) != expected(directory):
            raise Fault(f"sync into a store that works: exit status {code}, other points: {text[-300:]}")


def check_server(number: int) -> str:
    """A run whose server does not work: its cost, the memory and the log of the process that sends it.

    Raises:
        Fault: one is above its bound, or `sync` later sends other points.
    """
    name = list(SERVERS)[number]
    with in_a_folder() as place, serve(name) as uri:
        directory = write_run(place / "run")
        seconds, memory = follow(directory, uri)
        size = (directory / "tracking.log").stat().st_size
        text = f"{name}: {seconds:.1f} s, {memory / 2**20:.0f} MiB, log {size:,} B"
        if seconds > MOST_SECONDS or memory > MOST_MEMORY or size > MOST_LOG or SentPosition.read(directory).sent:
            raise Fault(text)
        require_sent(directory, place)
        return text


def check_locked_store(number: int) -> str:
    """A run whose SQLite store another program keeps locked.

    Raises:
        Fault: its end waits longer than `tracking.patience`, or `sync` later sends other points.
    """
    with in_a_folder() as place:
        shutil.copy(made_store(), place / "mlflow.db")
        directory = write_run(place / "run")
        holder = sqlite3.connect(place / "mlflow.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            with mock.patch.dict(FIELDS, patience=5.0):
                seconds, memory = follow(directory, resolve_uri(None, place))
        finally:
            holder.close()
        if seconds > 7:
            raise Fault(f"locked SQLite: {seconds:.1f} s")
        require_sent(directory, place)
        return f"locked SQLite store: {seconds:.1f} s of a patience of 5 s, {memory / 2**20:.0f} MiB"


def check_four_writers(number: int) -> str:
    """Four processes send a run each into one SQLite file at once.

    Raises:
        Fault: one is not sent, or has other points.
    """
    from tests.tracking.test_mlflow import expected, history

    with in_a_folder() as place:
        shutil.copy(made_store(), place / "mlflow.db")
        uri = resolve_uri(None, place)
        runs = [write_run(place / f"run{index}") for index in range(4)]
        began = time.monotonic()
        followers = [MLflow(**FIELDS).follow(run) for run in runs]  # type: ignore[arg-type]
        said = [follower.finish() for follower in followers]
        seconds = time.monotonic() - began
        close_idle()
        if not all(SentPosition.read(run).sent and history(uri, run) == expected(run) for run in runs):
            raise Fault(f"four writers: {said}")
        return f"four writers of one mlflow.db: all sent once, {seconds:.0f} s"


def check_locked_study(number: int, lock_seconds: float = 70.0) -> str:
    """The reports of a trial to an Optuna SQLite file that another program keeps locked for 70 s.

    Raises:
        Fault: it fails, training waits longer than it may, or a value is not there once.
    """
    from sota_exp.errors import RunFailed
    from sota_exp.sweep.storage import StudyStorage, resolve_storage_url
    from sota_exp.sweep.trial import ANSWER_SECONDS, JobTrial, TrialIdentity, become_owner

    with in_a_folder() as place:
        store = StudyStorage(url=resolve_storage_url(None, place), name="s", heartbeat=30, grace=60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = store.study(["maximize"]).ask()
        pruner = {"_target_": "optuna.pruners.NopPruner"}
        own = JobTrial.open(
            TrialIdentity(
                store=store,
                number=0,
                token=become_owner(trial),
                pruner=pruner,
                pruning_starts=0.0,
                objectives=["val/accuracy"],
            )
        )
        holder = sqlite3.connect(place / "study.db", isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        threading.Timer(lock_seconds, holder.close).start()
        began = time.monotonic()
        try:
            for epoch in (1, 2, 3):
                own.ask(epoch / 10, epoch, may_stop=True)
            training = time.monotonic() - began
            own.complete([0.3], {})
        except RunFailed as error:
            raise Fault(f"a study locked for {lock_seconds:.0f} s: {error}") from error
        if own.frozen.intermediate_values != {1: 0.1, 2: 0.2, 3: 0.3} or own.frozen.values != [0.3]:
            raise Fault(f"a study locked for {lock_seconds:.0f} s: {own.frozen}")
        if training > ANSWER_SECONDS + 1:
            raise Fault(f"a study locked for {lock_seconds:.0f} s: training waited for {training:.1f} s")
        waited = f"training waited {training:.0f} s, the trial's end {time.monotonic() - began:.0f} s"
        return f"an Optuna SQLite locked for {lock_seconds:.0f} s: {waited}, each value is there once"


#: Where the artifacts lie: in a folder, behind MLflow's server, behind an address that has no room left (507).
ARTIFACT_STORES = ("folder", "server", "507")


def check_full_artifacts(number: int) -> str:
    """A run whose artifact store has room for its smallest files only, and later for all.

    Raises:
        Fault: its points are not there once, the full store is not told of, or a file is missing or another one later.
    """
    from tests.tracking.test_mlflow import expected, history

    kind = ARTIFACT_STORES[number]
    with in_a_folder() as place, contextlib.ExitStack() as stack:
        artifacts = place / "mlartifacts"
        artifacts.mkdir()
        try:
            enlarge = stack.enter_context(small_disk(str(artifacts), 128 * 1024))
        except PermissionError:
            return "not possible here"
        directory = write_run(place / "run")
        (directory / "predictions.npz").write_bytes(os.urandom(200_000))
        uri = f"sqlite:///{place / 'mlflow.db'}"
        if kind != "folder":
            uri = stack.enter_context(working(place))[0]
        is_full = threading.Event()
        if kind == "507":
            is_full.set()
            uri = stack.enter_context(refuse_files(uri, is_full))
        seconds, memory = follow(directory, uri, seconds_left=120)
        problem = SentPosition.read(directory).problem or ""
        if history(uri, directory) != expected(directory) or "FileNotStored: " not in problem:
            raise Fault(f"a full {kind}: {problem}")
        enlarge()
        is_full.clear()
        for said in ("things were missing", "nothing was missing"):
            code, text = call(["sync", str(directory), "--trust"])
            if code or history(uri, directory) != expected(directory):
                raise Fault(f"a full {kind}, then room: {said}, {text[-300:]}")
        kept = {path.name: path.read_bytes() for path in artifacts.rglob("*") if path.is_file()}
        others = [name for name, content in kept.items() if next(directory.rglob(name)).read_bytes() != content]
        if others or "predictions.npz" not in kept:
            raise Fault(f"a full {kind}, then room: {others} differ, {sorted(kept)} are there")
        return f"a full {kind}: {problem[:90]}; end {seconds:.1f} s, {memory / 2**20:.0f} MiB, later all once"


@contextlib.contextmanager
def refuse_files(uri: str, is_full: threading.Event) -> Iterator[str]:
    """An address in front of a server that works, which answers 507 to files while it is full."""

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command == "PUT" and is_full.is_set():
                self.send_error(507)
                return
            headers = {name: value for name, value in self.headers.items() if name in ("Content-Type", "Accept")}
            found = requests.request(self.command, f"{uri}{self.path}", data=body, headers=headers, timeout=60)
            self.send_response(found.status_code)
            self.send_header("Content-Type", found.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


#: Trials of the sweep whose database is restarted, and how often and for how long it is gone.
NUM_TRIALS, NUM_RESTARTS, SECONDS_GONE = 4, 3, 3.0


def check_restarted_database(number: int) -> str:
    """A sweep whose PostgreSQL server ends without warning while trials train, and comes back.

    Raises:
        Fault: a trial is missing, failed, or was not told each epoch of its file once.
    """
    import optuna

    if postgres.binaries() is None:
        return "not possible here"
    with in_a_folder() as place, postgres.server() as server:
        command = ["sweep", *TINY, *OFF, "optimizer.lr=tag(log,interval(0.001,0.1))", "hydra.sweep.dir=sweep"]
        command += ["schedule.length.epochs=30", "data.num_images=400", f"hydra.sweeper.storage={server.url}"]
        command += [f"hydra.sweeper.n_trials={NUM_TRIALS}", "hydra.sweeper.confirm.top=0"]
        with (place / "log").open("wb") as log:
            sweep = subprocess.Popen([sys.executable, "-m", "sota_exp", *command], stdout=log, stderr=log)
            for trial in range(NUM_RESTARTS):
                while sweep.poll() is None and not (place / f"sweep/{trial}/metrics.jsonl").exists():
                    time.sleep(0.02)
                server.stop("immediate")
                time.sleep(SECONDS_GONE)
                server.start()
            code = sweep.wait(timeout=600)
        storage = optuna.storages.RDBStorage(server.url)
        trials = optuna.load_study(study_name="sweep", storage=storage).get_trials(deepcopy=False)
        storage.engine.dispose()
        states = sorted(trial.state.name for trial in trials)
        if code or len(trials) != NUM_TRIALS or not {*states} <= {"COMPLETE", "PRUNED"}:
            raise Fault(f"a restarted PostgreSQL: exit status {code}, {states}: {(place / 'log').read_text()[-400:]}")
        for trial in trials:
            lines = map(json.loads, (place / f"sweep/{trial.number}/metrics.jsonl").read_text().splitlines())
            if trial.intermediate_values != {line["epoch"]: line["val/accuracy"] for line in lines}:
                raise Fault(f"a restarted PostgreSQL: trial {trial.number} has {trial.intermediate_values}")
        return f"PostgreSQL restarted {NUM_RESTARTS} times: {NUM_TRIALS} trials, each epoch reported once"


@functools.cache
def made_store() -> Path:
    """An empty SQLite store of MLflow."""
    path = Path(os.environ["SOTA_EXP_CACHE"]) / "made.db"
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            open_store(f"sqlite:///{path}")
    return path


@contextlib.contextmanager
def in_a_folder() -> Iterator[Path]:
    """A working directory that is removed afterwards."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        yield Path(place).resolve()


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """A cache, and no warnings of MLflow's own code."""
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, {"SOTA_EXP_CACHE": cache}):
        warnings.simplefilter("ignore")
        yield


PARTS = {
    "servers": Part(check_server, "MLflow servers that do not work", len(SERVERS)),
    "locked_store": Part(check_locked_store, "a locked MLflow store", 1),
    "writers": Part(check_four_writers, "four writers of one MLflow store", 1),
    "locked_study": Part(check_locked_study, "a locked Optuna study", 1),
    "full_artifacts": Part(check_full_artifacts, "full stores of artifacts", len(ARTIFACT_STORES)),
    "restarts": Part(check_restarted_database, "a PostgreSQL study that is restarted", 1),
}


def main(arguments: list[str] | None = None) -> int:
    """Run all cases, or some."""
    return run_parts("servers", PARTS, prepared, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
