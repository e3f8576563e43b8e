"""The kinds of thing a training run is made of: one abstract class and one call signature each, beside its neutral option.

A stage is a frozen, keyword-only dataclass whose fields are its configuration. Off is an object, not a branch: the neutral
options (`Keep…`, `No…`) do nothing and cost nothing. Technique modules import this module, `torch` and nothing else of ours.
"""

from abc import ABC
from dataclasses import field
from typing import Any

from sota_exp.errors import ConfigError


class InvalidValue(ConfigError, ValueError):
    """A field whose value is not legal: names the field, the value and what is legal."""

    def __init__(self, name: str, value: object, legal: str) -> None:
        super().__init__(f"{name}={value} is not legal: {legal}")
        self.name, self.value, self.legal = name, value, legal


def require(ok: bool, name: str, value: object, legal: str) -> None:
    """Raise `InvalidValue` unless `ok`; called from `__post_init__`."""
    if not ok:
        raise InvalidValue(name, value, legal)


def added(inert: Any) -> Any:
    """A field that an option got after its first release: with the value `inert` it does what it did without the field.

    So files without it are still read, and a run with this value is the run that it was before: its fingerprint is the same.
    """
    return field(metadata={"inert": inert})


class Stage(ABC):
    """Anything a slot can hold. Subclasses are frozen, keyword-only dataclasses: their own schema."""
