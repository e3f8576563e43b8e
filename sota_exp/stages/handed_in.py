"""Networks and data sets that Python hands in: objects of this process, by their digests. No file has their code."""

from typing import Annotated, Any

from sota_exp.errors import ConfigError
from sota_exp.stages.stage import Legal

_objects: dict[str, Any] = {}

#: The field that names such an object.
Digest = Annotated[
    str, Legal(lambda value: value != "", "that of an object which Python hands in: sota_exp.train(…, model=, data=)")
]


def hand_in(digest: str, given: Any) -> None:
    """Let this process find an object by its digest."""
    _objects[digest] = given


def get_handed_in(digest: str, key: str, name: str, remedy: str) -> Any:
    """The object with this digest. key, name: of the option and of its class, for the error.

    Raises:
        ConfigError: this process has none.
    """
    if digest not in _objects:
        raise ConfigError(f"{key}=python: {name} was handed in from Python, which this process does not have; {remedy}")
    return _objects[digest]
