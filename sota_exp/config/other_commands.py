"""Tells keys of a study or a search that are given to a command that runs none and would ignore them."""

from collections.abc import Iterable

from sota_exp.config.values import get_override_key
from sota_exp.errors import ConfigError

#: Top-level key → the command that uses it.
OWNERS = {"study": "ablate", "search": "sweep"}

#: Keys of Hydra's own sweeper, which `-m` uses.
BASIC_SWEEPER_KEYS = ("max_batch_size", "params")


def check_keys_of_other_commands(arguments: Iterable[str], command: str) -> None:
    """Check that no override is one of a study or a search that the command does not run.

    Another sweeper, chosen with `hydra/sweeper=…`, has keys of its own.

    Raises:
        ConfigError: one is.
    """
    overrides = {word: get_override_key(word) for word in arguments if "=" in word and not word.startswith("-")}
    is_owner = command in OWNERS.values()
    if "hydra/sweeper=study" in overrides and command != "ablate":
        raise ConfigError(f"hydra/sweeper=study: not of {command}; sota-exp ablate has it: sota-exp ablate study=KIND")
    if "hydra/sweeper" in overrides.values() and not is_owner:
        return
    for word, key in overrides.items():
        owner = OWNERS.get(key.partition(".")[0].partition("/")[0], command)
        if owner != command:
            typed = word.lstrip("+")
            needed = "" if key in OWNERS else "study=KIND "
            raise ConfigError(f"{typed}: not of {command}; sota-exp {owner} has it: sota-exp {owner} {needed}{typed}")
        name = key.removeprefix("hydra.sweeper.")
        if name != key and name.partition(".")[0] not in BASIC_SWEEPER_KEYS and not is_owner:
            raise ConfigError(
                f"{key}: no such key; sota-exp sweep has its keys in hydra.sweeper, {command} has none there"
            )
