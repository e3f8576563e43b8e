"""Logins work, and their words are in no file, no name and no program's arguments."""

import base64
import datetime
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep import postgres
from tests.torture.canary import CANARY, find_in_files, watch_arguments

pytestmark = pytest.mark.torture

#: A slash, an at and a colon are in what password managers make; they need not be quoted here.
PASSWORD = f"{CANARY}/p@s:s"
BASIC = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()

#: The tracking of a short run: nothing but the login decides whether it is sent.
TRAIN = ("train", "data=fake", "scale=smoke", "tracking.patience=60", "tracking.system_interval=1")


def start(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "sota_exp", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "XDG_CONFIG_HOME": str(folder)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    process = start(folder, *arguments, **variables)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


class Server:
    """`login_server` in a folder of its own."""

    def __init__(self, folder: Path, authorization: str, pem: Path | None = None) -> None:
        self.folder, self.port = folder, postgres.free_port()
        folder.mkdir()
        command = [sys.executable, "-m", "tests.torture.login_server", str(self.port), str(folder)]
        self.process = subprocess.Popen(
            [*command, *([str(pem)] if pem else [])],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"AUTHORIZATION": authorization},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        context = ssl.create_default_context(cafile=str(pem)) if pem else None
        if context:
            context.load_cert_chain(str(pem))
        deadline = time.monotonic() + 90
        while True:
            try:
                address = f"http{'s' if pem else ''}://localhost:{self.port}/health"
                urllib.request.urlopen(address, timeout=5, context=context).close()
                return
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.2)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "server", BASIC)
    yield running
    running.stop()


def wait_until_sent(folder: Path) -> dict[str, object]:
    """`tracking.json` of the only run when all is sent, which a slow server may take after the run has ended."""
    (path,) = folder.glob("outputs/*/tracking.json")
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, object] = json.loads(path.read_text())
        if found["sent"]:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_a_password_in_the_address_logs_in_and_is_written_nowhere(tmp_path: Path, server: Server) -> None:
    address = f"http://alice:{PASSWORD}@127.0.0.1:{server.port}"
    mine = tmp_path / "mine"
    (mine / "tracking").mkdir(parents=True)
    (mine / "tracking/team.yaml").write_text(f"defaults: [mlflow]\nuri: '{address}'\n")
    given = {
        "command": ([f"tracking.uri='{address}'"], {}),
        "file": ([f"--config-dir={mine}", "tracking=team"], {}),
        "interpolation": (["tracking.uri='${oc.env:STORE}'"], {"STORE": address}),
    }
    for name, (words, variables) in given.items():
        folder = tmp_path / name
        process = start(folder, *TRAIN, *words, **variables)
        with watch_arguments(ignored=3) as seen:
            output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        assert wait_until_sent(folder)["uri"] == f"http://127.0.0.1:{server.port}"
        assert CANARY not in output and seen == set() and find_in_files(folder) == []
    assert BASIC in (server.folder / "headers").read_text()
    (server.folder / "headers").unlink()
    assert find_in_files(server.folder) == []
    # Of another shell, which knows no password: one line, and the password of `--uri` is enough.
    (run_directory,) = (tmp_path / "command/outputs").iterdir()
    (run_directory / "tracking.json").unlink()
    status, output = run(tmp_path / "command", "sync", str(run_directory))
    assert status == 1 and "401" in output and "Traceback" not in output
    assert run(tmp_path / "command", "sync", str(run_directory), f"--uri={address}")[0] == 0
    assert find_in_files(tmp_path / "command") == []


@pytest.mark.parametrize("kind", ["user", "token"])
def test_mlflows_own_variables_log_in(kind: str, tmp_path: Path) -> None:
    secrets = {
        "user": (BASIC, {"MLFLOW_TRACKING_USERNAME": "alice", "MLFLOW_TRACKING_PASSWORD": PASSWORD}),
        "token": (f"Bearer {CANARY}", {"MLFLOW_TRACKING_TOKEN": CANARY}),
    }
    authorization, variables = secrets[kind]
    server = Server(tmp_path / "server", authorization)
    try:
        folder = tmp_path / "here"
        status, output = run(folder, *TRAIN, f"tracking.uri=http://127.0.0.1:{server.port}", **variables)
        assert status == 0 and wait_until_sent(folder), output
        assert find_in_files(folder) == [] and CANARY not in output
    finally:
        server.stop()


def write_certificate(path: Path) -> None:
    """A key and a certificate of localhost that signs itself, for server and client."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=9))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    built = built.add_extension(names, critical=True).add_extension(x509.BasicConstraints(True, None), critical=True)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def test_a_client_certificate_logs_in(tmp_path: Path) -> None:
    pem, folder = tmp_path / "both.pem", tmp_path / "here"
    write_certificate(pem)
    server = Server(tmp_path / "server", "", pem)
    try:
        words = (*TRAIN, f"tracking.uri=https://localhost:{server.port}")
        variables = {"MLFLOW_TRACKING_CLIENT_CERT_PATH": str(pem), "MLFLOW_TRACKING_SERVER_CERT_PATH": str(pem)}
        status, output = run(folder, *words, **variables)
        assert status == 0 and wait_until_sent(folder), output
    finally:
        server.stop()


@pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL is not installed: apt-get install postgresql")
def test_a_sweep_in_postgresql_has_its_password_in_no_file(tmp_path: Path) -> None:
    with postgres.server() as server:
        address = server.url.replace("test@", f"test:{PASSWORD}@")
        words = ("sweep", "search=learning_rate", "data=fake", "scale=smoke", "hydra.sweeper.n_trials=2")
        few = ("hydra.sweeper.confirm.top=0", "hydra.sweeper.defaults_first=false")
        process = start(tmp_path, *words, *few, "tracking=mlflow", f"hydra.sweeper.storage='{address}'")
        with watch_arguments(ignored=3) as seen:
            output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
        assert CANARY not in output and seen == set() and find_in_files(tmp_path) == []
