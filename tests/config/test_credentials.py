"""Passwords in addresses: they reach the connection, and nothing else."""

import json
import os
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sota_exp.cli.main import run_command_line
from sota_exp.config import credentials
from sota_exp.config.credentials import find_credentials, hide_credentials, hide_in_config, reveal_credentials
from sota_exp.config.overrides import compose_configuration
from sota_exp.errors import ConfigError
from sota_exp.runs.mlflow_store import build_login, mlflow_environment
from tests.rows import each_row


@pytest.fixture(autouse=True)
def own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(credentials.CREDENTIALS_VARIABLE, "{}")


@each_row(
    "given, written, login",
    [
        ("http://me:pw@host:5000", "http://host:5000", ("me", "pw")),
        ("https://me:pw@host/path?x=1", "https://host/path?x=1", ("me", "pw")),
        ("http://token@host", "http://host", ("token", "")),
        ("http://me:p%40w@host", "http://host", ("me", "p@w")),
        ("http://me:p@w:d@host", "http://host", ("me", "p@w:d")),
        ("http://me:p/w?d#@host", "http://host", ("me", "p/w?d#")),
        ("http://me:@host", "http://host", ("me", "")),
        ("http://me:it's-pw@host:5000", "http://host:5000", ("me", "it's-pw")),
        ('http://me:p"w@host/path', "http://host/path", ("me", 'p"w')),
        ("postgresql://me:it's/pw@host/db", "postgresql://me@host/db", ("me", "it's/pw")),
        ("postgresql://me:pw@host:5432/db", "postgresql://me@host:5432/db", ("me", "pw")),
        ("postgresql+psycopg://me:p/w@host/db", "postgresql+psycopg://me@host/db", ("me", "p/w")),
        ("mysql://me:pw@host/db", "mysql://me@host/db", ("me", "pw")),
        ("s3://key:secret@bucket/x", "s3://key@bucket/x", ("key", "secret")),
    ],
)
def test_an_address_is_written_without_its_password(given: str, written: str, login: tuple[str, str]) -> None:
    assert hide_credentials(given) == written
    assert find_credentials(written) == login


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/a@b",
        "http://host",
        "postgresql://me@host/db",
        "sqlite:////home/a:b@c/mlflow.db",
        "file:///home/a:b@c/mine",
        "data.root=/photos/a:b@c",
        "lr: 0.1 @ epoch 3",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert hide_credentials(text) == text and os.environ[credentials.CREDENTIALS_VARIABLE] == "{}"


def test_several_addresses_of_one_word_lose_theirs() -> None:
    word = "tracking.uri='http://a:b@one','http://c:d@two:1/x'"
    assert hide_credentials(word) == "tracking.uri='http://one','http://two:1/x'"
    assert find_credentials("http://two:1/x") == ("c", "d")


@pytest.mark.parametrize("address", ["http:/me:pw@host", "https:/me:pw@host", r"http:\\me:pw@host", "http//me:pw@host"])
def test_a_mistyped_address_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(ConfigError, match="begins with http://") as error:
        hide_credentials(f"tracking.uri='{address}'")
    assert "pw" not in str(error.value)


def test_a_password_in_the_query_is_refused_without_being_shown(capsys: pytest.CaptureFixture[str]) -> None:
    word = "hydra.sweeper.storage=postgresql://host/db?user=me&password=c4nary"
    assert run_command_line(["sweep", word]) == 2
    output = capsys.readouterr().err
    assert "password=…" in output and "USER:PASSWORD@HOST" in output and "c4nary" not in output


def test_a_database_is_connected_with_its_password() -> None:
    for given in ("postgresql://me:pw@host:1/db", "postgresql://me:p%2Fw@host/db", "mysql://me:pw@host/db?ssl=1"):
        assert reveal_credentials(hide_credentials(given)) == given
    assert reveal_credentials(hide_credentials("mysql://me:p/w@host/db")) == "mysql://me:p%2Fw@host/db"


def test_a_password_reaches_mlflow_only_with_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "own")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    with_login, other = hide_credentials("http://me:pw@one:1"), "http://two:1"
    with mlflow_environment(with_login, 1, 0):
        assert [os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD", "TOKEN")] == ["me", "pw", ""]
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ and os.environ["MLFLOW_TRACKING_TOKEN"] == "own"
    assert build_login(other) == {} and build_login("http://one:2") == {}
    assert build_login(hide_credentials("http://t0ken@three"))["MLFLOW_TRACKING_TOKEN"] == "t0ken"


def test_a_configuration_has_no_password_wherever_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", "http://me:pw@host")
    for given in ("http://me:pw@host", "'${oc.env:STORE}'"):
        assert compose_configuration([f"tracking.uri={given}"]).values["tracking"]["uri"] == "http://host"


def test_what_hydra_writes_has_no_password() -> None:
    config = OmegaConf.create({"a": ["x", {"b": "http://me:pw@host/${c}"}], "c": "${oc.env:HOME}", "d": 1})
    hide_in_config(config)
    assert OmegaConf.to_container(config) == {
        "a": ["x", {"b": "http://host/${c}"}],
        "c": "${oc.env:HOME}",
        "d": 1,
    }


def test_a_program_with_a_password_among_its_arguments_starts_again_without(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: started.append(arguments))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "sota_exp", "train", "tracking.uri=http://me:pw@host"])
    credentials.restart_without_credentials()
    assert started == [["python", "-m", "sota_exp", "train", "tracking.uri=http://host"]]
    assert json.loads(os.environ[credentials.CREDENTIALS_VARIABLE]) == {"http://host": "me:pw"}
    monkeypatch.setattr(sys, "orig_argv", started[0])
    credentials.restart_without_credentials()
    assert len(started) == 1


def test_a_port_that_is_no_number_is_told_without_the_password(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        _ = compose_configuration(["tracking.uri=http://me:c4nary@host:port"]).experiment
    assert "tracking.uri" in str(caught.value) and "c4nary" not in str(caught.value)
