"""One thread and a cache of its own for every test run, so that tests neither wait for nor find what another left.

Heavy packages are imported where they are used: pytest-xdist reads this file before it starts the workers that run the tests.
"""

import contextlib
import gc
import io
import logging
import os
import signal
import sqlite3
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The tests and what they import stay to the end: nothing looks for garbage among their millions of objects.

    Among later ones it is looked for as rarely as commands do, which saves a tenth of a tiny training.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: they wait while other workers compute, and short tests are left to share at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> None:
    """Those that `nohup` and the shell's `&` let programs ignore, also the programs that tests start."""
    for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`SOTA_EXP_CACHE`, a key of its own that signs runs, and a usual environment, for this process and those it starts."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOTA_EXP_CACHE", str(cache))
        patch.setenv("XDG_CONFIG_HOME", str(cache / "config"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it
        yield cache


@pytest.fixture(scope="session", autouse=True)
def disk_not_waited_for() -> Iterator[None]:
    """No test loses power, so none waits until its files are on the disk: a run of tiny size would for a tenth of its time."""
    from sqlalchemy import Engine, event

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        event.listen(Engine, "connect", do_not_wait_for_disk)
        yield
        event.remove(Engine, "connect", do_not_wait_for_disk)


def do_not_wait_for_disk(connection: Any, record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session", autouse=True)
def measured_for_moments() -> Iterator[None]:
    """Plans and explanations train for moments to measure a step, where users' take a second and more for each arm."""
    from sota_exp.cli import explain
    from sota_exp.study import cost_estimate, equal_compute

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain, "MEASURE_SECONDS", 0.05)
        for module in (cost_estimate, equal_compute):
            patch.setattr(module, "SECONDS_PER_ARM", 0.05)
        yield


@pytest.fixture(scope="session", autouse=True)
def forked_uploads() -> Iterator[None]:
    """What sends a run to MLflow is a fork with MLflow in it; only the commands that tests start begin it as users do.

    Forks are those of this process as it is now: no test has trained or changed anything.
    """
    from sota_exp.tracking import mlflow_process
    from tests.forked import UploadProcess, fork_server

    fork_server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_process, "start_process", UploadProcess)
        yield


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A file that all workers share: the first one that needs it makes it."""
    from filelock import FileLock

    own = factory.getbasetemp()
    path = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made_once" / name
    path.parent.mkdir(exist_ok=True)
    with FileLock(f"{path}.made"):
        if not path.exists():
            make(path.with_name(f"{name}.new"))
            os.rename(f"{path}.new", path)
    return path


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store of MLflow, to be copied, because MLflow takes seconds to create one."""
    from sota_exp.runs.mlflow_store import open_store

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own code
        return make_once(tmp_path_factory, "mlflow.db", lambda path: open_store(f"sqlite:///{path}"))


@pytest.fixture(scope="session", autouse=True)
def shared_work() -> Iterator[None]:
    from tests.composing import compositions_share_their_work
    from tests.study_tables import studies_share_their_tables

    with compositions_share_their_work(), studies_share_their_tables():
        yield


def reset_logging() -> None:
    for handler in list(logging.root.handlers):
        if type(handler).__module__ == "logging":
            logging.root.removeHandler(handler)
            handler.close()
    logging.root.setLevel(logging.WARNING)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Hydra sets up the process's logging for its job; every test finds it as Python starts with it."""
    reset_logging()
    yield
    reset_logging()


@pytest.fixture
def charts_only_made(monkeypatch: pytest.MonkeyPatch) -> None:
    only_make_charts(monkeypatch)


def only_make_charts(patch: pytest.MonkeyPatch) -> None:
    """Charts are made, but an empty picture stands for each: half of the time of a page, for tests that read its words."""
    import vl_convert
    from PIL import Image

    empty = '<svg width="1" height="1" viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"></svg>'
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, format="png")
    patch.setattr(vl_convert, "vegalite_to_svg", lambda tree: empty)
    patch.setattr(vl_convert, "svg_to_png", lambda svg, scale: file.getvalue())


def compare_with_schema(patch: pytest.MonkeyPatch) -> None:
    """Every part of every chart is compared with the schema of Vega-Lite, which the package skips to save time."""
    import altair
    from altair.utils import schemapi

    to_dict = altair.TopLevelMixin.to_dict

    def checked(self: Any, validate: bool = True, **given: Any) -> Any:
        is_whole = (given.get("context") or {}).get("top_level", True)  # a part lacks the data, which is the whole's
        return to_dict(self, validate=validate or is_whole, **given)

    patch.setattr(schemapi, "debug_mode", lambda checks: contextlib.nullcontext())
    patch.setattr(altair.TopLevelMixin, "to_dict", checked)
