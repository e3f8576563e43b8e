"""The listener that draws figures and tracks, around another one."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sota_exp.stages.tracking import NoTracking, RunTracker, Tracking
from sota_exp.tracking.listeners import TrackingListener, add_tracking, print_dimly
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import StepRecord, TrainingSession, TrainingState


@dataclass(kw_only=True)
class Noting(Listener):
    """Records its calls."""

    name: str
    heard: list[str]

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None:
        self.heard.append(f"{self.name} started")

    def on_step(self, record: StepRecord) -> None:
        self.heard.append(f"{self.name} stepped")

    def on_epoch_end(self, epoch: dict[str, Any]) -> None:
        self.heard.append(f"{self.name} epoch_done")

    def on_end(self, result: dict[str, Any]) -> None:
        self.heard.append(f"{self.name} ended")


@dataclass(frozen=True, kw_only=True)
class NotingTracking(Tracking, RunTracker):
    """Records the directory that it follows, and that it finished."""

    heard: list[str] = field(default_factory=list)

    def follow(self, directory: Path) -> RunTracker:
        self.heard.append(f"follows {directory}")
        return self

    def finish(self) -> str:
        self.heard.append("finished")
        return "it is shown there"


def start(listener: Listener, tracking: Tracking, directory: Path) -> None:
    """Call `on_start`, whose session and state no listener here reads."""
    listener.on_start(request(tracking, directory), cast(TrainingSession, None), cast(TrainingState, None))


def request(tracking: Tracking, directory: Path) -> RunRequest:
    return cast(RunRequest, SimpleNamespace(experiment=SimpleNamespace(tracking=tracking), directory=directory))


def test_the_inner_listener_hears_everything(tmp_path: Path) -> None:
    heard: list[str] = []
    listener = add_tracking(Noting(name="a", heard=heard))
    start(listener, NoTracking(figures=False), tmp_path)
    listener.on_step(cast(StepRecord, None))
    listener.on_epoch_end({})
    listener.on_end({"metrics": {}})
    assert heard == [f"a {what}" for what in ("started", "stepped", "epoch_done", "ended")]


def test_the_tracking_of_the_plan_follows_its_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = NotingTracking(figures=False)
    listener = TrackingListener(inner=Listener(), is_main=True, say=print_dimly)
    start(listener, tracking, tmp_path)
    listener.on_end({"metrics": {}})
    assert tracking.heard == [f"follows {tmp_path}", "finished"]
    assert "it is shown there" in capsys.readouterr().out


def test_only_the_first_process_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    tracking = NotingTracking(figures=True)
    listener = add_tracking(Noting(name="a", heard=[]))
    start(listener, tracking, tmp_path)
    listener.on_end({"status": "finished", "metrics": {"val/accuracy": 1.0}})
    assert tracking.heard == []


def test_a_run_that_failed_before_it_began_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    TrackingListener(inner=Listener(), is_main=True, say=print_dimly).on_end({"metrics": {}})
    assert capsys.readouterr().out == ""


def test_pictures_that_cannot_be_drawn_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = TrackingListener(inner=Listener(), is_main=True, say=print_dimly)
    start(listener, NoTracking(figures=True), tmp_path)
    listener.on_end({"status": "finished", "metrics": {"val/accuracy": 1.0}})
    assert "figures of this run could not be drawn" in caplog.text


def test_a_follower_that_fails_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(NotingTracking):
        def finish(self) -> str:
            raise RuntimeError("no such port")

    listener = TrackingListener(inner=Listener(), is_main=True, say=print_dimly)
    start(listener, Failing(figures=False), tmp_path)
    listener.on_end({"metrics": {}})
    assert "tracking of this run failed: RuntimeError: no such port" in caplog.text


def test_no_pictures_where_they_are_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = TrackingListener(inner=Listener(), is_main=True, say=print_dimly)
    start(listener, NoTracking(figures=False), tmp_path)
    listener.on_end({"status": "finished", "metrics": {"val/accuracy": 1.0}})
    assert not caplog.records and not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_main", [True, False])
def test_a_run_that_never_started_is_shown_once_by_the_main_process(is_main: bool, tmp_path: Path) -> None:
    tracking, said, heard = NotingTracking(figures=False), list[str](), list[str]()
    both = TrackingListener(inner=Noting(name="a", heard=heard), is_main=is_main, say=said.append)
    both.on_failed_start(request(tracking, tmp_path))
    both.on_end({"metrics": {}})
    assert tracking.heard == ([f"follows {tmp_path}", "finished"] if is_main else [])
    assert said == (["it is shown there"] if is_main else []) and heard == ["a ended"]
