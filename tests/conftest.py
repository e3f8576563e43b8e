"""One thread and a cache of its own for every test run, so that tests neither wait for nor find what another left."""

import contextlib
import functools
import io
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
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf
from PIL import Image

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


#: Where the files lie that no test changes.
SHIPPED = (f"file://{CONF}", "pkg://hydra.conf", "structured://")


@pytest.fixture(scope="session", autouse=True)
def compositions_share_their_work() -> Iterator[None]:
    """Hydra reads and merges fifty files for each of the thousands of configurations; here each file that we ship is read
    once, and Hydra merges once what each list of files has below one key. Files of a test's own are read each time, and
    count by what they contain. `tests/config/test_hydra_compose.py` compares with Hydra left alone.

    What is kept is a pickle: it is read ten times as fast as OmegaConf's nodes are copied.
    """
    load_file = ConfigRepository.load_config
    embed_file = ConfigLoaderImpl._load_single_config
    merge_files = ConfigLoaderImpl._compose_config_from_defaults_list
    kept: dict[object, bytes] = {}

    def once(make: Callable[[], Any], *key: object) -> Any:
        if key not in kept:
            kept[key] = pickle.dumps(make())
        return pickle.loads(kept[key])

    def identify(default: ResultDefault, repo: IConfigRepository) -> tuple[object, ...]:
        found = repo.load_config(str(default.config_path))
        assert found is not None
        content = b"" if found.path in SHIPPED else pickle.dumps(found)
        return default.config_path, default.package, default.primary, found.provider, found.path, content

    @functools.wraps(load_file)
    def load(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or f"{source.scheme()}://{source.path}" not in SHIPPED:
            return load_file(self, config_path)
        return once(lambda: load_file(self, config_path), "file", source.provider, source.path, config_path)

    @functools.wraps(embed_file)
    def embed(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        return once(lambda: embed_file(self, default, repo), "embedded", *identify(default, repo))

    @functools.wraps(merge_files)
    def merge(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        identities = {id(each): identify(each, repo) for each in defaults}

        def merge_whole() -> DictConfig:
            """What is below one key of the whole depends on nothing but what the files have below that key."""
            by_key: dict[str, list[ResultDefault]] = {}
            for each in defaults:
                for key in once(lambda each=each: list(embed(self, each, repo).config), "keys", *identities[id(each)]):
                    by_key.setdefault(key, []).append(each)
            whole = OmegaConf.create()
            for key, given in by_key.items():
                sources = (identities[id(each)] for each in given)
                part = once(functools.partial(merge_key, key, given), "merged", key, *sources)
                if key in part:
                    whole.__dict__["_content"][key] = part._get_node(key)
                    part._get_node(key)._set_parent(whole)
            return whole

        def merge_key(key: str, given: list[ResultDefault]) -> DictConfig:
            found = [embed(self, each, repo) for each in given]
            for each in found:
                for other in set(each.config) - {key}:
                    del each.config.__dict__["_content"][other]
            parts = iter(found)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ConfigLoaderImpl, "_load_single_config", lambda *given, **named: next(parts))
                return merge_files(self, given, repo)

        return once(merge_whole, "whole", *(identities[id(each)] for each in defaults))

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


@pytest.fixture
def charts_only_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are made, but an empty picture stands for each: half of the time of a page, for tests that read its words."""
    import vl_convert

    empty = '<svg width="1" height="1" viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"></svg>'
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, format="png")
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", lambda tree: empty)
    monkeypatch.setattr(vl_convert, "svg_to_png", lambda svg, scale: file.getvalue())


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
