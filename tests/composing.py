"""Composing for tests: Hydra does once what the thousands of configurations of the tests have in common."""

import contextlib
import functools
import pickle
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, ConfigResult, IConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigSource
from omegaconf import DictConfig, OmegaConf

from sota_exp import CONF

#: Where the files lie that no test changes.
SHIPPED = frozenset((f"file://{CONF}", "pkg://hydra.conf", "structured://"))

#: What is kept, by what it was made of: of the whole process, so that the forks of one that has composed find it.
_kept: dict[object, bytes] = {}

#: Which of the places of `SHIPPED` has a file or group.
_places: dict[object, int | None] = {}


@contextlib.contextmanager
def compositions_share_their_work() -> Iterator[None]:
    """Hydra reads and merges fifty files for each of the thousands of configurations; here each file that we ship is read
    once, and Hydra merges once what each list of files has below one key. Files of a test's own are read each time, and
    count by what they contain. `tests/config/test_hydra_compose.py` compares with Hydra left alone.

    What is kept is a pickle: it is read ten times as fast as OmegaConf's nodes are copied. So are copies of nodes made.
    """
    find_source = ConfigRepository._find_object_source
    load_file = ConfigRepository.load_config
    embed_file = ConfigLoaderImpl._load_single_config
    merge_files = ConfigLoaderImpl._compose_config_from_defaults_list

    def once(make: Callable[[], Any], *key: object) -> Any:
        if key not in _kept:
            _kept[key] = pickle.dumps(make())
        return pickle.loads(_kept[key])

    def identify(default: ResultDefault, repo: IConfigRepository) -> tuple[object, ...]:
        found = repo.load_config(str(default.config_path))
        assert found is not None
        content = b"" if found.path in SHIPPED else pickle.dumps(found)
        return default.config_path, default.package, default.primary, found.provider, found.path, content

    @functools.wraps(find_source)
    def find(self: ConfigRepository, config_path: str, object_type: ObjectType | None) -> ConfigSource | None:
        places = tuple(f"{source.scheme()}://{source.path}" for source in self.sources)
        if not SHIPPED.issuperset(places):
            return find_source(self, config_path, object_type)
        key = places, config_path, object_type
        if key not in _places:
            source = find_source(self, config_path, object_type)
            _places[key] = None if source is None else self.sources.index(source)
        index = _places[key]
        return None if index is None else self.sources[index]

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
            with mock.patch.object(ConfigLoaderImpl, "_load_single_config", side_effect=found):
                return merge_files(self, given, repo)

        return once(merge_whole, "whole", *(identities[id(each)] for each in defaults))

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(ConfigRepository, "load_config", load))
        stack.enter_context(mock.patch.object(ConfigLoaderImpl, "_load_single_config", embed))
        stack.enter_context(mock.patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge))
        stack.enter_context(mock.patch.object(ConfigRepository, "_find_object_source", find))
        stack.enter_context(mock.patch.object(DictConfig, "__deepcopy__", copy_by_pickle))
        yield


_copy_node = DictConfig.__deepcopy__


@functools.wraps(_copy_node)
def copy_by_pickle(self: DictConfig, memo: dict[int, Any]) -> DictConfig:
    """A copy: by pickle where no parent would be pickled too, and where the classes are those of a module."""
    if self._get_parent() is None:
        with contextlib.suppress(pickle.PicklingError, AttributeError, TypeError):
            copied: DictConfig = pickle.loads(pickle.dumps(self))
            return copied
    return _copy_node(self, memo)
