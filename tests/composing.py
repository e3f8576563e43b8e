"""Composing for tests: Hydra does once what the thousands of configurations of the tests have in common."""

import contextlib
import functools
import pickle
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import (
    CachingConfigRepository,
    ConfigRepository,
    ConfigResult,
    IConfigRepository,
)
from hydra._internal.defaults_list import DefaultsList
from hydra.conf import ConfigSourceInfo
from hydra.core.default_element import GroupDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigSource
from omegaconf import AnyNode, DictConfig, ListConfig, OmegaConf, StringNode, base

from sota_exp import CONF

#: Where the files lie that no test changes; tests add folders of their own.
UNCHANGED = {f"file://{CONF}", "pkg://hydra.conf", "structured://"}

#: What is kept, by what it was made of: of the whole process, so that the forks of one that has composed find it.
_kept: dict[object, bytes] = {}

#: What tells a file of `UNCHANGED` from others, by its path and all places.
_files: dict[object, tuple[object, ...]] = {}

#: Files of `UNCHANGED` by all places and path, for the list of files alone, which leaves them as they are.
_listed: dict[tuple[str, ...], dict[str, ConfigResult | None]] = {}

#: Which of the places of `UNCHANGED` has a file or group.
_places: dict[object, int | None] = {}


@contextlib.contextmanager
def compositions_share_their_work() -> Iterator[None]:
    """Hydra reads and merges fifty files for each of the thousands of configurations; here each file that no test changes is read
    once, each override is parsed once, the files of the same choices are listed once, and Hydra merges once what each
    list of files has below one key. Other files are read each time, and count by what they contain.
    `tests/config/test_hydra_compose.py` compares with Hydra left alone.

    What is kept is a pickle: it is read ten times as fast as OmegaConf's nodes are copied. So are copies of nodes made.
    """
    find_source = ConfigRepository._find_object_source
    load_file = ConfigRepository.load_config
    embed_file = ConfigLoaderImpl._load_single_config
    merge_files = ConfigLoaderImpl._compose_config_from_defaults_list
    parse_override = OverridesParser.parse_rule
    list_defaults = config_loader_impl.create_defaults_list

    def once(make: Callable[[], Any], *key: object) -> Any:
        if key not in _kept:
            _kept[key] = pickle.dumps(make())
        return pickle.loads(_kept[key])

    def list_places(repo: IConfigRepository) -> tuple[str, ...]:
        return tuple(f"{source.scheme()}://{source.path}" for source in repo.get_sources())

    def identify(default: ResultDefault, repo: IConfigRepository) -> tuple[object, ...]:
        return default.config_path, default.package, default.primary, *identify_file(str(default.config_path), repo)

    def identify_file(path: str, repo: IConfigRepository) -> tuple[object, ...]:
        key = path, list_places(repo)
        if key not in _files:
            found = repo.load_config(path)
            assert found is not None
            if not UNCHANGED.issuperset(key[1]):
                return found.provider, found.path, b"" if found.path in UNCHANGED else pickle.dumps(found)
            _files[key] = found.provider, found.path, b""
        return _files[key]

    @functools.wraps(find_source)
    def find(self: ConfigRepository, config_path: str, object_type: ObjectType | None) -> ConfigSource | None:
        places = list_places(self)
        if not UNCHANGED.issuperset(places):
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
        if source is None or f"{source.scheme()}://{source.path}" not in UNCHANGED:
            return load_file(self, config_path)
        return once(lambda: load_file(self, config_path), "file", source.provider, source.path, config_path)

    @functools.wraps(parse_override)
    def parse(self: OverridesParser, s: str, rule_name: str) -> Any:
        return once(lambda: parse_override(self, s, rule_name), "parsed", s, rule_name)

    @functools.wraps(list_defaults)
    def list_files(
        repo: IConfigRepository, config_name: str | None, overrides_list: list[Override], *flags: bool, **named: bool
    ) -> DefaultsList:
        """The values among the overrides change nothing in the list."""
        given = [each for each in overrides_list if not each.is_sweep_override()]
        are_values = [is_value(each, repo) for each in given]
        chosen = [each for each, is_one in zip(given, are_values, strict=True) if not is_one]
        places = list_places(repo)
        if not UNCHANGED.issuperset(places) or any(each.is_delete() for each in chosen):
            return list_defaults(repo, config_name, overrides_list, *flags, **named)
        words = tuple(str(each.input_line) for each in chosen)
        key = "list", places, config_name, words, flags, tuple(named.items())
        found: DefaultsList = once(
            lambda: list_defaults(ListedFiles(repo, places), config_name, chosen, *flags, **named), *key
        )
        found.config_overrides = [each for each, is_one in zip(given, are_values, strict=True) if is_one]
        return found

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
        stack.enter_context(mock.patch.object(OverridesParser, "parse_rule", parse))
        stack.enter_context(mock.patch.object(config_loader_impl, "create_defaults_list", list_files))
        stack.enter_context(mock.patch.object(DictConfig, "__deepcopy__", copy_by_pickle))
        stack.enter_context(mock.patch.object(base, "parse", parse_interpolation))
        stack.enter_context(mock.patch.object(GroupDefault, "is_interpolation", is_interpolation))
        stack.enter_context(mock.patch.object(ListConfig, "append", append))
        stack.enter_context(mock.patch.object(DictConfig, "update", update))
        yield


class ListedFiles(CachingConfigRepository):
    """The files of a repository, each read once for all lists of files."""

    def __init__(self, repo: IConfigRepository, places: tuple[str, ...]) -> None:
        self.delegate, self.cache = repo, _listed.setdefault(places, {})

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self.cache:
            found = self.delegate.load_config(config_path)
            self.cache[config_path] = pickle.loads(
                pickle.dumps(found)
            )  # of its own: a composition changes what it reads
        return self.cache[config_path]


#: The tree of an interpolation, which is read and left as it is.
parse_interpolation = functools.cache(base.parse)

_is_interpolation = GroupDefault.is_interpolation


@functools.wraps(_is_interpolation)
def is_interpolation(self: GroupDefault) -> bool:
    """Hydra makes a node of OmegaConf of each name."""
    name = self.get_name() if self.is_name() else None
    return isinstance(name, str) and "$" in name and _is_interpolation(self)


def is_value(override: Override, repo: IConfigRepository) -> bool:
    """Whether it sets or deletes a value; else it chooses files."""
    if override.is_value_path:
        return True
    is_file = repo.group_exists(override.key_or_group) or repo.config_exists(override.key_or_group)
    return not is_file or (isinstance(override.value(), dict) and not override.is_delete())


#: Classes of nodes of a text, by the type of a container's values.
NODES: dict[object, type[AnyNode | StringNode]] = {Any: AnyNode, str: StringNode}


def takes_texts(node: ListConfig | DictConfig) -> bool:
    """Whether a text may be put into a list or dictionary as it is."""
    can_change = isinstance(node.__dict__["_content"], list | dict) and not node._get_flag("readonly")
    return can_change and node._metadata.element_type in NODES


_append_item, _update_node = ListConfig.append, DictConfig.update


@functools.wraps(_append_item)
def append(self: ListConfig, item: Any) -> None:
    """Hydra lists each override and each place one by one, which takes OmegaConf a third of a composition."""
    content = self.__dict__["_content"]
    if isinstance(item, str) and takes_texts(self):
        content.append(NODES[self._metadata.element_type](item, key=len(content), parent=self))
        return None
    if type(item) is not ConfigSourceInfo or self._metadata.element_type is not ConfigSourceInfo:
        return _append_item(self, item)
    key = "place", item.provider, item.schema, item.path
    if key not in _kept:
        _append_item(self, item)
        node = content.pop()
        node._set_parent(None)
        _kept[key] = pickle.dumps(node)
    node = pickle.loads(_kept[key])
    node._set_parent(self)
    node._set_key(len(content))
    content.append(node)
    return None


@functools.wraps(_update_node)
def update(self: DictConfig, *given: Any, **named: Any) -> None:
    """So it does with each choice."""
    if named or len(given) != 1 or not are_choices(given[0]) or not takes_choices(self):
        return _update_node(self, *given, **named)
    for key, text in given[0].items():
        self.__dict__["_content"][key] = AnyNode(text, key=key, parent=self)
    return None


def are_choices(given: object) -> bool:
    is_plain = type(given) is dict
    return is_plain and all(isinstance(key, str) and isinstance(text, str | None) for key, text in given.items())


def takes_choices(node: DictConfig) -> bool:
    return takes_texts(node) and node._metadata.element_type is Any and not node._get_flag("struct")


_copy_node = DictConfig.__deepcopy__


@functools.wraps(_copy_node)
def copy_by_pickle(self: DictConfig, memo: dict[int, Any]) -> DictConfig:
    """A copy: by pickle where no parent would be pickled too, and where the classes are those of a module."""
    if self._get_parent() is None:
        with contextlib.suppress(pickle.PicklingError, AttributeError, TypeError):
            copied: DictConfig = pickle.loads(pickle.dumps(self))
            return copied
    return _copy_node(self, memo)
