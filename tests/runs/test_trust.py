"""Runs of the user's own are used as they are; what somebody else's run names is shown, and used only with `--trust`."""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from sota_exp.cli import main, rerun, techniques
from sota_exp.errors import ConfigError
from sota_exp.models.model_json import read_description
from sota_exp.runs import own_key
from sota_exp.runs.digests import is_own, write_checked_json, write_checked_text
from sota_exp.runs.find import find_runs
from sota_exp.runs.mlflow_store import choose_artifact_folder
from sota_exp.runs.sent_position import SentPosition, find_parent
from sota_exp.runs.trust import leave_out_cache, list_named, require_plain_files, require_trust
from tests.finished_runs import make


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.delenv(own_key.TRUST_VARIABLE, raising=False)
    return home


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    write_checked_text(directory / "config.yaml", "seed: 0\n")
    write_checked_json(directory / "result.json", {"status": "finished"})
    return directory


def test_a_run_stays_ones_own_wherever_it_is_moved(run: Path, tmp_path: Path) -> None:
    assert is_own(run)
    shutil.move(run, tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", tmp_path / "copy", ignore=shutil.ignore_patterns("result.json"))
    assert is_own(tmp_path / "elsewhere") and is_own(tmp_path / "copy")


def change_table(run: Path, **known: list[str]) -> None:
    table = json.loads((run / "digests.json").read_text())
    (run / "digests.json").write_text(json.dumps(table | known))


FORGERIES = {
    "no table": lambda run: (run / "digests.json").unlink(),
    "garbage": lambda run: (run / "digests.json").write_text("[1"),
    "another digest": lambda run: change_table(run, **{"config.yaml": ["0" * 64]}),
    "another file": lambda run: change_table(run, **{"model.json": ["0" * 64]}),
    "another signature": lambda run: change_table(run, signature=["0" * 64]),
    "no signature": lambda run: change_table(run, signature=[]),
    "a signature of another form": lambda run: change_table(run, signature=["ü"]),
    "a model that was not there": lambda run: (run / "model.json").write_text("{}"),
    "a link that was not there": lambda run: (run / "model.json").symlink_to("nowhere"),
    "another user": lambda run: os.environ.update({"XDG_CONFIG_HOME": str(run.parent)}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_nothing_else_is_ones_own(name: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", os.environ["XDG_CONFIG_HOME"])
    FORGERIES[name](run)
    assert not is_own(run)


def test_the_key_is_the_users_secret_and_made_once(own_home: Path, run: Path) -> None:
    path = own_home / "sota_exp" / "key"
    key = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(key) == 32
    own_key._make_key(path)
    assert path.read_bytes() == key and [each.name for each in path.parent.iterdir()] == ["key"]


def test_without_a_home_runs_are_written_unsigned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    write_checked_text(tmp_path / "config.yaml", "seed: 0\n")
    assert not is_own(tmp_path)


VALUES: dict[str, Any] = {
    "data": {
        "_option_": "image_folder",
        "root": "/secret",
        "cache": "/theirs",
        "dataset": "x",
        "class_order": "lexical",
    },
    "model": {"arch": {"_target_": "evil.Net"}, "weights": {"_option_": "scratch", "path": "/w.pt", "store": None}},
    "loss": {"_option_": "cross_entropy"},
    "optimizer": {"_target_": "sota_exp.techniques.optimizer.sgd.Sgd"},
    "tracking": {"uri": "http://evil"},
}
NAMED = {
    "data.root": "/secret",
    "model.arch._target_": "evil.Net",
    "model.weights.path": "/w.pt",
    "tracking.uri": "http://evil",
}


@pytest.mark.parametrize(
    "overrides, left",
    [
        ([], {*NAMED}),
        (["data.root=here", "seed=1"], {*NAMED} - {"data.root"}),
        (["data=csv", "data.path=x"], {*NAMED} - {"data.root"}),
        (["tracking=none"], {*NAMED} - {"tracking.uri"}),
        (["model/arch=small", "~tracking.uri"], {"data.root", "model.weights.path"}),
        (["model=none"], {"data.root", "tracking.uri"}),
    ],
)
def test_what_the_command_sets_is_the_users_own(overrides: list[str], left: set[str], tmp_path: Path) -> None:
    assert list_named(tmp_path, VALUES, overrides) == {key: NAMED[key] for key in NAMED if key in left}


def test_a_data_set_of_the_hub_and_folders_of_yaml_are_named(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    sources = [{"path": str(tmp_path), "provider": "command-line"}, {"path": "/", "provider": "main"}]
    text = json.dumps({"hydra": {"runtime": {"config_sources": sources}}})
    (tmp_path / ".hydra/hydra.yaml").write_text(text)
    values = {"data": {"_option_": "huggingface", "dataset": "evil/set"}}
    assert list_named(tmp_path, values, []) == {"data.dataset": "evil/set", "--config-dir": str(tmp_path)}


def test_a_line_shows_all_and_says_what_to_do(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_trust(run, NAMED)
    with pytest.raises(ConfigError) as caught:
        require_trust(tmp_path, NAMED)
    line = str(caught.value)
    assert "\n" not in line and all(f"{key}={value}" in line for key, value in NAMED.items()) and "--trust" in line
    require_trust(tmp_path, {})
    monkeypatch.setenv(own_key.TRUST_VARIABLE, "1")
    require_trust(tmp_path, NAMED)


def test_the_flag_is_of_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str | None, list[str]]] = []
    for command in (rerun, techniques):
        monkeypatch.setattr(command, "main", lambda words: seen.append((os.environ.get(own_key.TRUST_VARIABLE), words)))
    for words in (["rerun", "x", "--trust"], ["rerun", "x"], ["techniques", "--trust"]):
        assert main.run_command_line(words) == 0
    assert seen == [("1", ["x"]), (None, ["x"]), (None, ["--trust"])]


ODD = {
    "a link to a file": lambda run, out: (run / "run.log").symlink_to(out),
    "a link in a folder": lambda run, out: (run / "figures/a.png").symlink_to(out),
    "a folder that is a link": lambda run, out: (run / "checkpoint").symlink_to(out.parent),
    "a relative link": lambda run, out: (run / "a").symlink_to("../secret"),
    "a dangling link": lambda run, out: (run / "a").symlink_to("/nowhere"),
    "a pipe": lambda run, out: os.mkfifo(run / "metrics.pipe"),
}


@pytest.mark.parametrize("name", ODD)
def test_links_out_of_somebody_elses_run_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    run = make(tmp_path / "run")
    (run / "inside").symlink_to("config.yaml")
    shutil.rmtree(run / "checkpoint")
    require_plain_files(run)
    ODD[name](run, tmp_path / "secret")
    with pytest.raises(ConfigError, match="no file" if name == "a pipe" else "a link to "):
        require_plain_files(run)
    with pytest.raises(ConfigError, match="--trust"):
        find_runs(str(run))


def test_links_of_ones_own_runs_are_used(run: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (run / "checkpoint").symlink_to(tmp_path / "scratch")
    require_plain_files(run)


def test_a_network_of_another_package_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    description = {
        "format": 3,
        "arch": {"_target_": "evil.Net"},
        "transforms": {},
        "classes": ["a"],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 8, "resize": 8},
    }
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(ConfigError, match=r"arch\._target_=evil\.Net"):
        read_description(tmp_path / "model.json")
    monkeypatch.setenv(own_key.TRUST_VARIABLE, "1")
    assert read_description(tmp_path / "model.json") is not None


def test_the_cache_of_somebody_else_is_left_out(run: Path, tmp_path: Path) -> None:
    from sota_exp.config.configuration import Configuration

    configuration = Configuration(choices={}, values=VALUES)
    assert "cache" not in leave_out_cache(tmp_path, configuration).values["data"]
    assert leave_out_cache(run, configuration) is configuration


@pytest.mark.parametrize("written", ["/somewhere/sweep", "/etc", "../..", "", None, 3])
def test_a_parent_is_a_folder_above_the_run(written: object, tmp_path: Path) -> None:
    run = tmp_path / "sweep" / "runs" / "0"
    run.mkdir(parents=True)
    expected = str(tmp_path / "sweep") if written == "/somewhere/sweep" else None
    assert find_parent(run, written) == expected
    (run / "tracking.json").write_text(json.dumps({"origin": {"parent": written}}))
    assert SentPosition.read(run).origin == {"parent": expected}


@pytest.mark.parametrize("text", ["[]", "3", '{"origin": 3}', "{"])
def test_tracking_json_of_another_form_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "tracking.json").write_text(text)
    assert SentPosition.read(tmp_path) == SentPosition()


@pytest.mark.parametrize("name", ["../evil", "/evil", "..", ".", "a/../../b"])
def test_the_name_of_an_experiment_does_not_lead_out_of_the_artifacts(name: str, tmp_path: Path) -> None:
    assert choose_artifact_folder(tmp_path, name).parent == tmp_path / "mlartifacts"
    assert choose_artifact_folder(tmp_path, "team/one") == tmp_path / "mlartifacts/team/one"
