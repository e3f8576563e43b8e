"""Reads PyTorch files of any trainer with `weights_only`: their tensors and plain values, no object and no code.

Trainers save more than weights: settings of OmegaConf, arrays, paths, loggers. Each object of a type that
`weights_only` does not know becomes an inert stand-in: no class or function that a file names is imported or called.
"""

import logging
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from sota_exp.stages.stage import InvalidValue

#: Keys of averaged weights in checkpoints: one of these words in them, such as `model_ema_state_dict`.
AVERAGED = re.compile(r"(?<![a-z])(ema|swa|averaged?)(?![a-z])", re.IGNORECASE)

#: Keys of other weights in checkpoints of timm, torchvision, Lightning and others.
CHECKPOINT_KEYS = ("state_dict", "model", "model_state_dict", "net", "params")

#: Wrappers of a whole network, whose names lead every key: DataParallel and averages, torch.compile, Lightning.
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")

log = logging.getLogger(__name__)


class StandIn:
    """In place of an object: takes the arguments and the state of any type, and keeps nothing."""

    def __init__(self, *arguments: object) -> None:
        """The arguments are those that the file gives to its type."""

    def __setstate__(self, state: object) -> None:
        """The state is that which the file gives to the object."""

    def __setitem__(self, key: object, value: object) -> None:
        """Refuse an item, as newer versions of PyTorch do themselves.

        Raises:
            UnpicklingError: always.
        """
        raise pickle.UnpicklingError(f"Can only SETITEM for dict, but got {type(self)}")


class DictionaryStandIn(StandIn):
    """In place of a type of dictionary, such as `defaultdict`: makes an `OrderedDict`, whose items are read."""

    def __new__(cls, *arguments: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """An empty dictionary; pickle sets its items one by one."""
        return OrderedDict()


class ListStandIn(StandIn):
    """In place of a type of list, such as `deque`: makes a list."""

    def __new__(cls, *arguments: object) -> list[Any]:  # type: ignore[misc]
        """An empty list; pickle appends its items."""
        return []


def load_plain(path: str) -> Any:
    """The content of a file of `torch.save`, on the CPU, with a `StandIn` for each object of a foreign type.

    Raises:
        UnpicklingError: it is no such file, or is built in a way that `weights_only` does not take.
    """
    names = get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []
    kinds: dict[str, type] = dict.fromkeys(names, StandIn)
    while True:
        try:
            with safe_globals([(type(name, (kind,), {}), name) for name, kind in kinds.items()]):
                return torch.load(path, "cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            refused = find_refused_type(str(error))
            if refused.items() <= kinds.items():
                raise pickle.UnpicklingError(_explain(str(error))) from error
            kinds |= refused


def find_refused_type(message: str) -> dict[str, type]:
    """The name of the type in a message of `weights_only`, and what replaces it; {} without one.

    The foreign types of a file of PyTorch before 1.6 show one by one; which ones are dictionaries or lists, always.
    """
    if foreign := re.search(r"GLOBAL (\S+) was not an allowed", message):
        return {foreign[1] if "." in foreign[1] else f"builtins.{foreign[1]}": StandIn}
    if filled := re.search(rf"Can only (SETITEM|append).* got <class '{re.escape(__name__)}\.(\S+)'>", message):
        return {filled[2]: DictionaryStandIn if filled[1] == "SETITEM" else ListStandIn}
    return {}


def _explain(message: str) -> str:
    """The line of a message of `weights_only` that says what is wrong, without its advice to run the file's code."""
    reason = re.search(r"^(?:.*WeightsUnpickler error: )?((?:Unsupported|Trying|Can only|Only) .*)$", message, re.M)
    return reason[1] if reason else message


def find_weights(found: Any, path: str, entry: str | None) -> dict[str, Tensor]:
    """The state dict in the content of the file `path`, key → tensor [...].

    entry: its key; None: the first of averaged weights, else of `CHECKPOINT_KEYS`, else the only one with tensors
    alone. What averaged weights lack, such as statistics of batch norm, is that of the others in the file.

    Raises:
        InvalidValue: there are no weights, no such entry, or several that no known key tells apart.
    """
    plain: dict[str, Tensor] = {}
    while entry is not None or not _is_state(found):
        known, others = _list_entries(found)
        if entry is not None and (not isinstance(found, Mapping) or not isinstance(found.get(entry), Mapping)):
            raise InvalidValue("entry", entry, f"an entry of {path} with weights, {_name_legal([*known, *others])}")
        if not known and len(others) > 1 and entry is None:
            choice = f"choose one (model.weights.entry={others[0]}), or save one alone"
            raise InvalidValue("path", path, f"a file with one state dict; it has {' and '.join(others)}: {choice}")
        if not known and not others and entry is None:
            raise InvalidValue("path", path, f"a file with a state dict{_explain_content(found)}")
        chosen = entry or (known or others)[0]
        rest = [key for key in [*known, *others] if key != chosen]
        if rest or chosen in others:
            log.info("%s: the weights are its entry %s%s", path, chosen, f", not {' or '.join(rest)}" if rest else "")
        if entry is None and (unread := _list_unnamed(found)):
            log.warning("%s: weights without names, which are not read: %s", path, " and ".join(unread))
        if AVERAGED.search(chosen):
            plain = _find_plain(found)
        found, entry = found[chosen], None
    weights = {key: value for key, value in found.items() if key != "n_averaged"}  # a count of torch's AveragedModel
    return _add_missing(weights, plain, path)


def find_wrappers(state: Mapping[str, Tensor]) -> str:
    """The wrappers that lead every key of a state dict, key → tensor [...], such as `module.`; "" without one."""
    prefix = ""
    while wrapper := next((word for word in WRAPPERS if all(key.startswith(prefix + word) for key in state)), ""):
        prefix += wrapper
    return prefix


def _find_plain(found: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights beside averaged ones; {} without any."""
    beside = [*CHECKPOINT_KEYS, *_list_entries(found)[1]]
    value: Any = next((found[key] for key in beside if isinstance(found.get(key), Mapping)), {})
    while value and not _is_state(value):
        known, others = _list_entries(value)
        value = value[(known or others)[0]] if known or others else {}
    return dict(value)


def _add_missing(weights: dict[str, Tensor], plain: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """Averaged weights with what they lack of `plain`: an average of parameters has no statistics of batch norm."""
    if not plain or not weights:
        return weights
    lead, other = find_wrappers(weights), find_wrappers(plain)
    named = {lead + key.removeprefix(other): value for key, value in plain.items()}
    missing = {key: value for key, value in named.items() if key not in weights}
    if not missing or not weights.keys() <= named.keys():
        return weights
    such = f"{len(missing)} keys, such as {next(iter(missing))}"
    log.info("%s: the averaged weights lack %s: these are from the weights that are not averaged", path, such)
    return weights | missing


def _list_unnamed(found: Mapping[str, Any]) -> list[str]:
    """The keys of averaged weights that are no state dict: lists of tensors, or objects."""

    def is_unnamed(value: object) -> bool:
        return isinstance(value, StandIn) or (isinstance(value, list | tuple) and any(map(torch.is_tensor, value)))

    averaged = {key: value for key, value in found.items() if isinstance(key, str) and AVERAGED.search(key)}
    return [
        key
        for key, value in averaged.items()
        if any(map(is_unnamed, (value, *(value.values() if isinstance(value, Mapping) else ()))))
    ]


def _is_state(value: object) -> bool:
    """Whether it has names with tensors, and nothing else."""
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())


def _list_entries(found: Any) -> tuple[list[str], list[str]]:
    """The keys of entries with weights: of averaged ones, then those of `CHECKPOINT_KEYS`, in their order; and others.

    The others are state dicts themselves.
    """
    if not isinstance(found, Mapping):
        return [], []
    averaged = [key for key in found if isinstance(key, str) and AVERAGED.search(key)]
    named = dict.fromkeys([*averaged, *CHECKPOINT_KEYS])
    known = [key for key in named if _is_state(found.get(key)) or any(_list_entries(found.get(key)))]
    others = [key for key, value in found.items() if isinstance(key, str) and _is_state(value)]
    return known, [key for key in others if key not in named]


def _name_legal(entries: list[str]) -> str:
    return f"such as {' or '.join(entries)}" if entries else "of which it has none"


def _explain_content(found: Any) -> str:
    """What is in place of weights, and the fix: an object of a foreign type, or entries that may contain some."""
    is_dictionary = isinstance(found, Mapping)
    inside = (
        [found[key] for key in found if key in CHECKPOINT_KEYS or AVERAGED.search(str(key))] if is_dictionary else []
    )
    values = [
        found,
        *inside,
        *(value for part in (found, *inside) if isinstance(part, Mapping) for value in part.values()),
    ]
    kind = next((type(value).__qualname__ for value in values if isinstance(value, StandIn)), None)
    if kind is None:
        entries = [str(key) for key, value in found.items() if isinstance(value, Mapping)] if is_dictionary else []
        return f"; if it is in {' or '.join(entries[:5])}, say so by model.weights.entry" if entries else ""
    return f"; it has an object of type {kind} instead: save its weights alone: torch.save(network.state_dict(), FILE)"
