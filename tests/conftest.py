"""One thread and a cache of its own for every test run, so that tests neither wait for nor find what another left."""

import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, ConfigResult, IConfigRepository
from hydra.core.default_element import ResultDefault
from omegaconf import DictConfig

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
def compositions_share_their_work() -> Iterator[None]:
    """Hydra reads and merges fifty files for each of the thousands of configurations; here each file is read once and
    each list of files is merged once. Where files of a test's own are on the search path, Hydra works as it always does.

    What is kept is a pickle: it is read ten times as fast as OmegaConf's nodes are copied.
    """
    kept: dict[object, bytes] = {}

    def once(make: Callable[[], Any], repository: IConfigRepository, *key: object) -> Any:
        if {source.path for source in repository.get_sources() if source.scheme() == "file"} != {str(CONF)}:
            return make()
        if key not in kept:
            kept[key] = pickle.dumps(make())
        return pickle.loads(kept[key])

    def load(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        return once(lambda: load_file(self, config_path), self, "file", config_path)

    def embed(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        key = (default.config_path, default.package, default.primary)
        return once(lambda: embed_file(self, default, repo), repo, "embedded", *key)

    def merge(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        key = [(each.config_path, each.package, each.primary) for each in defaults]
        return once(lambda: merge_files(self, defaults, repo), repo, "merged", *key)

    load_file = ConfigRepository.load_config
    embed_file = ConfigLoaderImpl._load_single_config
    merge_files = ConfigLoaderImpl._compose_config_from_defaults_list
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load)
        patch.setattr(ConfigLoaderImpl, "_load_single_config", embed)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge)
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
