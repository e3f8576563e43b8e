"""One thread and a cache of its own for every test run, so that tests neither wait for nor find what another left."""

import copy
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra._internal.config_repository import ConfigRepository, ConfigResult

from sota_exp import CONF


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`SOTA_EXP_CACHE`, for this process and those it starts."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOTA_EXP_CACHE", str(cache))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield cache


@pytest.fixture(scope="session", autouse=True)
def every_file_of_conf_is_parsed_once() -> Iterator[None]:
    """Hydra parses fifty files for each of the thousands of configurations; files of a test's own are read each time."""
    load_config, parsed = ConfigRepository.load_config, {}

    def load_once(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        folders = {source.path for source in self.sources if source.scheme() == "file"}
        if folders != {str(CONF)}:
            return load_config(self, config_path)
        if config_path not in parsed:
            parsed[config_path] = load_config(self, config_path)
        return copy.deepcopy(parsed[config_path])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load_once)
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
