"""The order of classes, which is that of a network's outputs: by name, by number, or as another program has it."""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from sota_exp.config.data_paths import LEGAL_ORDER, expand_home, find_path_problem
from sota_exp.config.values import quote_first
from sota_exp.stages.stage import InvalidValue

log = logging.getLogger(__name__)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key by which numbers in names are compared as numbers, as timm's: c2 before C10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())], name


def order_classes(names: Collection[str], order: str | list[Any]) -> list[str]:
    """The class names in the order that is asked for; a file or list may have more names, of classes without images.

    Raises:
        InvalidValue: the file cannot be read, lacks a class or has a name twice.
    """
    if order in ("lexical", "natural"):
        return sorted(names, key=natural_key) if order == "natural" else sorted(names)
    listed = read_names(order) if isinstance(order, str) else [str(name) for name in order]
    given = spell_like(listed, names)
    twice = [name for name, num in Counter(given).items() if num > 1]
    missing = sorted(set(names) - set(given))
    if twice or missing:
        problem = (
            f"it has {quote_first(twice[:1])} twice" if twice else f"it lacks the class {quote_first(missing[:1])}"
        )
        if read := [name for name in order if not isinstance(name, str)]:
            problem += (
                f"; {', '.join(map(str, read))} stands where a name without quotes was read as a value: '01', 'no'"
            )
        raise InvalidValue("class_order", order, f"every class of the data once, but {problem}")
    if others := [name for name in given if name not in names]:
        log.warning("data.class_order: %d of its %d classes have no images: %s …", len(others), len(given), others[0])
    return given


def spell_like(names: Iterable[str], known: Collection[str]) -> list[str]:
    """The names, each as in `known` where that has it with accents composed otherwise in Unicode."""
    forms = {unicodedata.normalize("NFC", name): name for name in known}
    return [name if name in known else forms.get(unicodedata.normalize("NFC", name), name) for name in names]


def read_names(path: str) -> list[str]:
    """The lines of a text file.

    Raises:
        InvalidValue: it does not exist, or is no text in UTF-8.
    """
    if problem := find_path_problem(expand_home(path), is_folder=False):
        raise InvalidValue("class_order", path, f"{LEGAL_ORDER}; {problem}")
    try:
        lines = expand_home(path).read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidValue("class_order", path, f"{LEGAL_ORDER}; {error}") from error
    return [line.strip() for line in lines if line.strip()]
