"""The listener that draws figures and tracks, around another one."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sota_exp.stages.tracking import Follower, NoTracking, Tracking
from sota_exp.tracking.listeners import ShowingListener, print_dimly, showing
from sota_exp.training.listener import Listener, Plan
from sota_exp.training.loop import Step


@dataclass(kw_only=True)
class Noting(Listener):
    """Records its calls."""

    name: str
    heard: list[str]

    def started(self, plan: Plan) -> None:
        self.heard.append(f"{self.name} started")

    def stepped(self, record: Step) -> None:
        self.heard.append(f"{self.name} stepped")

    def epoch_done(self, epoch: dict[str, Any]) -> None:
        self.heard.append(f"{self.name} epoch_done")

    def ended(self, result: dict[str, Any]) -> None:
        self.heard.append(f"{self.name} ended")


@dataclass(frozen=True, kw_only=True)
class NotingTracking(Tracking, Follower):
    """Records the directory that it follows, and that it finished."""

    heard: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return "a test"

    def follow(self, directory: Path) -> Follower:
        self.heard.append(f"follows {directory}")
        return self

    def finish(self) -> str:
        self.heard.append("finished")
        return "it is shown there"


def plan(tracking: Tracking, directory: Path) -> Plan:
    experiment = SimpleNamespace(tracking=tracking)
    return cast(Plan, SimpleNamespace(request=SimpleNamespace(experiment=experiment, directory=directory)))


def test_the_inner_listener_hears_everything(tmp_path: Path) -> None:
    heard: list[str] = []
    listener = showing(Noting(name="a", heard=heard))
    listener.started(plan(NoTracking(figures=False), tmp_path))
    listener.stepped(cast(Step, None))
    listener.epoch_done({})
    listener.ended({"metrics": {}})
    assert heard == [f"a {what}" for what in ("started", "stepped", "epoch_done", "ended")]


def test_the_tracking_of_the_plan_follows_its_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = NotingTracking(figures=False)
    listener = ShowingListener(inner=Listener(), is_main=True, say=print_dimly)
    listener.started(plan(tracking, tmp_path))
    listener.ended({"metrics": {}})
    assert tracking.heard == [f"follows {tmp_path}", "finished"]
    assert "it is shown there" in capsys.readouterr().out


def test_only_the_first_process_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    tracking = NotingTracking(figures=True)
    listener = showing(Noting(name="a", heard=[]))
    listener.started(plan(tracking, tmp_path))
    listener.ended({"status": "finished", "metrics": {"val/accuracy": 1.0}})
    assert tracking.heard == []


def test_a_run_that_failed_before_it_began_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    ShowingListener(inner=Listener(), is_main=True, say=print_dimly).ended({"metrics": {}})
    assert capsys.readouterr().out == ""


def test_pictures_that_cannot_be_drawn_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = ShowingListener(inner=Listener(), is_main=True, say=print_dimly)
    listener.started(plan(NoTracking(figures=True), tmp_path))
    listener.ended({"status": "finished", "metrics": {"val/accuracy": 1.0}})
    assert "figures of this run could not be drawn" in caplog.text


def test_a_follower_that_fails_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(NotingTracking):
        def finish(self) -> str:
            raise RuntimeError("no such port")

    listener = ShowingListener(inner=Listener(), is_main=True, say=print_dimly)
    listener.started(plan(Failing(figures=False), tmp_path))
    listener.ended({"metrics": {}})
    assert "tracking of this run failed: RuntimeError: no such port" in caplog.text


def test_no_pictures_where_they_are_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = ShowingListener(inner=Listener(), is_main=True, say=print_dimly)
    listener.started(plan(NoTracking(figures=False), tmp_path))
    listener.ended({"status": "finished", "metrics": {"val/accuracy": 1.0}})
    assert not caplog.records and not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_main", [True, False])
def test_a_run_that_never_started_is_shown_once_by_the_main_process(is_main: bool, tmp_path: Path) -> None:
    tracking, said, heard = NotingTracking(figures=False), list[str](), list[str]()
    request = plan(tracking, tmp_path).request
    both = ShowingListener(inner=Noting(name="a", heard=heard), is_main=is_main, say=said.append)
    both.stillborn(request)
    both.ended({"metrics": {}})
    assert tracking.heard == ([f"follows {tmp_path}", "finished"] if is_main else [])
    assert said == (["it is shown there"] if is_main else []) and heard == ["a ended"]
