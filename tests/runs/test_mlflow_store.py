"""The URI of the store, and whether its server answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sota_exp.runs.mlflow_store import (
    build_mlflow_environment,
    find_connection_problem,
    is_supported_uri,
    mask_passwords,
    resolve_uri,
)


@contextmanager
def server(status: int | None, well: str | None = None) -> Iterator[str]:
    """A server that answers every request with `status` (None: never), except for the path `well`."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = 200 if well is not None and self.path.startswith(well) else status
            if answer is None:
                ended.wait(30)
                return
            self.send_response(answer)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.daemon_threads = True
    threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{serving.server_port}"
    finally:
        ended.set()
        serving.shutdown()
        serving.server_close()


def test_the_default_is_one_absolute_file(tmp_path: Path) -> None:
    assert resolve_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_relative_file_is_taken_from_the_root(tmp_path: Path) -> None:
    assert resolve_uri("sqlite:///runs.db", tmp_path) == f"sqlite:///{tmp_path}/runs.db"
    assert resolve_uri("sqlite:////there/runs.db", tmp_path) == "sqlite:////there/runs.db"


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://host/db", "databricks"])
def test_other_stores_are_left_as_they_are(uri: str, tmp_path: Path) -> None:
    assert resolve_uri(uri, tmp_path) == uri


@pytest.mark.parametrize(
    ("status", "is_well"), [(200, True), (401, True), (404, True), (500, False), (503, False), (None, False)]
)
def test_whether_a_server_answers(status: int | None, is_well: bool) -> None:
    with server(status) as uri:
        assert (find_connection_problem(uri, 0.3) is None) == is_well


def test_a_store_that_hangs_behind_a_healthy_server_does_not_answer() -> None:
    with server(None, well="/health") as uri:
        assert find_connection_problem(uri, 0.3) == f"{uri} does not answer"


def test_a_missing_server_is_reported() -> None:
    with server(200) as uri:
        pass
    assert find_connection_problem(uri, 0.3) == f"{uri} does not answer"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:57O2", "http://host:5000 0", "http://[::1"])
def test_an_address_that_is_not_legal_is_reported(uri: str) -> None:
    assert find_connection_problem(uri, 0.3) == f"{uri} is not a URL"


def test_a_service_of_another_protocol_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail ready\r\n")

        speaking = threading.Thread(target=greet)
        speaking.start()
        uri = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert find_connection_problem(uri, 2.0) == f"{uri} does not answer as an HTTP server: BadStatusLine"
        speaking.join()


def test_a_database_needs_no_answer() -> None:
    assert find_connection_problem("sqlite:////nowhere/mlflow.db", 0.0) is None


def test_settings_are_those_mlflow_reads() -> None:
    from mlflow import environment_variables

    known = {name for name in vars(environment_variables) if name.startswith("MLFLOW_")} | {"MLFLOW_LOGGING_LEVEL"}
    assert {name for name in build_mlflow_environment("", 5, 2) if name.startswith("MLFLOW_")} <= known


@pytest.mark.parametrize(
    ("uri", "legal"),
    [("http://host:5000", True), ("http://:5000", False), ("http://host:0", False), ("sqlite:///a.db", True),
     ("postgresql+psycopg2://host/db", True), ("databricks", True), ("databricks://profile", True),
     ("htp://host", False),
     ("mlflow.db", False), ("", False)],
)  # fmt: skip
def test_what_mlflow_has_no_store_for_is_not_legal(uri: str, legal: bool) -> None:
    assert is_supported_uri(uri) == legal


def test_passwords_are_not_printed() -> None:
    text = (
        "run a; see it with sota-exp dashboard --uri postgresql://me:s3cr/t@host:5432/db of http://u:p@h, http://h:50"
    )
    assert mask_passwords(text.replace("/t", "t")) == (
        "run a; see it with sota-exp dashboard --uri postgresql://me:***@host:5432/db of http://u:***@h, http://h:50"
    )
