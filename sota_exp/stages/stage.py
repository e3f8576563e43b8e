"""The base class of all stages: the configurable parts of a training run, one abstract class per kind.

A stage is a frozen, keyword-only dataclass whose fields are its configuration. Each slot has a neutral option (`Keep…`,
`No…`), an object that does nothing, so that the training loop needs no branch for "off".
"""

import difflib
import functools
import inspect
import re
from abc import ABC
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from sota_exp.errors import ConfigError


class InvalidValue(ConfigError, ValueError):
    """The value of a field is not legal; the message contains the field, the value and what is legal."""

    def __init__(self, name: str, value: object, legal: str) -> None:
        super().__init__(f"{name}={value} is not legal: {legal}")
        self.name, self.value, self.legal = name, value, legal


def require(ok: bool, name: str, value: object, legal: str) -> None:
    """Check a value that `Legal` cannot describe, such as two fields together.

    Raises:
        InvalidValue: `ok` is false.
    """
    if not ok:
        raise InvalidValue(name, value, legal)


def added_field(inert: Any) -> Any:
    """A field that was added to an option after its first release; with the value `inert` the option behaves as before.

    Files without the field are still read, and the fingerprint of a run with this value does not change.
    """
    return field(metadata={"inert": inert})


@dataclass(frozen=True)
class Legal:
    """The legal values of a field, beside its type: `Annotated[float, Legal(…)]`. None is legal where its type is.

    Further parameters of `is_legal` get the fields of their names; then it decides about None too. `{field}` in `words`
    is the value of that field. names: the legal words if they are too many to be listed; an error tells similar ones.
    """

    is_legal: Callable[..., bool]
    words: str
    names: Callable[[], Collection[str]] | None = None

    @functools.cached_property
    def others(self) -> tuple[str, ...]:
        """The other fields that `is_legal` needs."""
        _, *others = inspect.signature(self.is_legal).parameters.values()
        return tuple(other.name for other in others if other.default is inspect.Parameter.empty)

    @property
    def general_words(self) -> str:
        """The words without the values of other fields."""
        return re.sub(r"[,;] here \w+=\{\w+\}|=\{\w+\}", "", self.words)

    def require(self, name: str, values: Mapping[str, Any]) -> None:
        """Check the field `name` of `values`.

        Raises:
            InvalidValue: its value is not legal.
        """
        value, others = values[name], {other: values[other] for other in self.others}
        if (value is None and not others) or self.is_legal(value, **others):
            return
        words = self.words.format(**others) if others else self.words
        if self.names is not None:
            near = difflib.get_close_matches(str(value), self.names(), n=3)
            words += f"; near: {', '.join(near)}" if near else f", of which there are {len(self.names())}"
        raise InvalidValue(name, value, words)


def one_of(*options: str) -> Legal:
    """The values of a field that is a choice."""
    return Legal(lambda value: value in options, f"one of {', '.join(options)}")


def known_name(kind: str, names: Callable[[], Collection[str]]) -> Legal:
    """The values of a field that is one of very many names. kind: what they are names of, for the message."""
    return Legal(lambda value: value in names(), f"a {kind}", names)


Count = Annotated[int, Legal(lambda value: value >= 1, "a count of at least 1")]
Several = Annotated[int, Legal(lambda value: value >= 2, "a count of at least 2")]
Pixels = Annotated[int, Legal(lambda value: value >= 8, "pixels, at least 8")]
Positive = Annotated[float, Legal(lambda value: value > 0, "a number above 0")]
NonNegative = Annotated[float, Legal(lambda value: value >= 0, "a number of at least 0")]
Fraction = Annotated[float, Legal(lambda value: 0 <= value <= 1, "a fraction in [0, 1]")]
FractionBelowOne = Annotated[float, Legal(lambda value: 0 <= value < 1, "a fraction in [0, 1)")]
FractionAboveZero = Annotated[float, Legal(lambda value: 0 < value <= 1, "a fraction in (0, 1]")]
FractionInside = Annotated[float, Legal(lambda value: 0 < value < 1, "a fraction in (0, 1)")]
CropRatio = Annotated[float, Legal(lambda value: 0.1 <= value <= 1, "a fraction in [0.1, 1]")]
PositiveSpan = Annotated[
    list[float], Legal(lambda value: len(value) == 2 and 0 < value[0] <= value[1], "[min, max], both above 0")
]


@functools.cache
def get_legal_values(cls: type) -> dict[str, Legal]:
    """Field → its legal values, of the fields of a class that state them."""
    found: dict[str, Legal] = {}
    for name, kind in get_type_hints(cls, include_extras=True).items():
        null = ", or null" if type(None) in get_args(kind) else ""
        for part in (kind, *get_args(kind)):
            if get_origin(part) is Annotated:
                for legal in (item for item in part.__metadata__ if isinstance(item, Legal)):
                    found[name] = replace(legal, words=legal.words + null)
    return found


def require_legal_values(cls: type, values: Mapping[str, Any]) -> None:
    """Check the values of fields that state their legal values in the annotations of a class.

    Raises:
        InvalidValue: one is not legal.
    """
    found = get_legal_values(cls)
    for name in sorted(found, key=lambda name: bool(found[name].others)):  # Each alone first, then with others.
        found[name].require(name, values)


class Settings:
    """Base class of groups of values: frozen, keyword-only dataclasses, whose fields are their schema."""

    def __post_init__(self) -> None:
        require_legal_values(type(self), vars(self))


class Stage(Settings, ABC):
    """Base class of the options of a slot. Subclasses are frozen, keyword-only dataclasses: fields are their schema."""
