"""The base class of all stages: the configurable parts of a training run, one abstract class per kind.

A stage is a frozen, keyword-only dataclass whose fields are its configuration. Each slot has a neutral option (`Keep…`,
`No…`), an object that does nothing, so that the training loop needs no branch for "off".
"""

from abc import ABC
from dataclasses import field
from typing import Any

from sota_exp.errors import ConfigError


class InvalidValue(ConfigError, ValueError):
    """The value of a field is not legal; the message contains the field, the value and what is legal."""

    def __init__(self, name: str, value: object, legal: str) -> None:
        super().__init__(f"{name}={value} is not legal: {legal}")
        self.name, self.value, self.legal = name, value, legal


def require(ok: bool, name: str, value: object, legal: str) -> None:
    """Check a field; called from `__post_init__`.

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


class Stage(ABC):
    """Base class of the options of a slot. Subclasses are frozen, keyword-only dataclasses: fields are their schema."""
