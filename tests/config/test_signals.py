"""An interrupt waits for an import that could not be repeated."""

import importlib
import signal
import sys

import pytest

import sota_exp
from sota_exp.config.configuration import Configuration
from sota_exp.config.signals import postponed_interrupt


def test_an_interrupt_comes_when_all_is_done_and_is_told_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    done = []

    def work() -> None:
        with postponed_interrupt():
            signal.raise_signal(signal.SIGINT)
            assert capfd.readouterr().err == "sota-exp: stopping when the library is loaded that is being loaded\n"
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]


def test_where_interrupts_are_ignored_they_stay_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with postponed_interrupt():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


class InterruptAt:
    """A finder of modules that sends SIGINT when a module of this name is imported."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.name:
            signal.raise_signal(signal.SIGINT)


PLACES = {
    "sota_exp.config.experiment": lambda: Configuration(choices={}, values={}).experiment,
    "sota_exp.cli.python.commands": lambda: sota_exp.train,
}


@pytest.mark.parametrize("name", PLACES)
def test_what_imports_pytorch_or_numpy_is_imported_as_a_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, _, child = name.rpartition(".")
    monkeypatch.setattr(importlib.import_module(parent), child, importlib.import_module(name))
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [InterruptAt(name), *sys.meta_path])
    with pytest.raises(KeyboardInterrupt):
        PLACES[name]()
    assert name in sys.modules
