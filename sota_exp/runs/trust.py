"""What somebody else's run names, such as files, servers and packages, is shown, and used only with `--trust`.

A run is the user's own if it is signed with the user's key (`own_key.py`), wherever it lies. What a command sets itself
is the user's own too. Nothing else of a run is more than data: no code of a file is run, and no `${…}` resolved.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from sota_exp.config.configuration import Configuration
from sota_exp.config.data_paths import DATA_PATHS, FILE_PATHS, NOT_PATHS, PATTERNS
from sota_exp.config.values import flatten, get_override_key
from sota_exp.errors import ConfigError
from sota_exp.runs.digests import is_own
from sota_exp.runs.own_key import TRUST_VARIABLE

#: Keys of a configuration that name a file, a folder, a server or a data set of the Hub.
NAMING_KEYS = (
    *(".".join(keys) for keys in (*DATA_PATHS, *FILE_PATHS, *PATTERNS)),
    "tracking.uri",
    "model.weights.store",
    "regularization.distillation.store",
    "data.dataset",
)

#: Most entries of a directory that are looked at for links, and most names that a message lists.
MOST_ENTRIES, MOST_LISTED = 10_000, 6


def is_trusted(directory: Path) -> bool:
    """Whether what the run in a directory names may be used."""
    return os.environ.get(TRUST_VARIABLE) == "1" or is_own(directory)


def require_trust(directory: Path, named: Mapping[str, object]) -> None:
    """Check that the run in a directory is the user's own or trusted, if it names anything. named: key → value.

    Raises:
        ConfigError: it is not.
    """
    if not named or is_trusted(directory):
        return
    listed = ", ".join(f"{key}={value}" for key, value in islice(named.items(), MOST_LISTED))
    more = f" and {len(named) - MOST_LISTED} more" if len(named) > MOST_LISTED else ""
    raise ConfigError(
        f"{directory} is not signed as a run of yours, and names {listed}{more}; "
        "give other values, or add --trust to use these"
    )


def require_trusted_configuration(directory: Path, configuration: Configuration, overrides: Sequence[str]) -> None:
    """`require_trust` for all that the configuration of a run names and `overrides` do not set.

    Raises:
        ConfigError: the run is neither the user's own nor trusted.
    """
    require_trust(directory, list_named(directory, configuration.values, overrides))


def list_named(directory: Path, values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, object]:
    """Key → value of the files, servers and packages that a run names, without the keys that `overrides` set."""
    from sota_exp.config.search_path import read_config_directories

    given = [get_override_key(word).replace("/", ".") for word in overrides]
    found = {
        key: value
        for key, value in flatten(values).items()
        if is_foreign(key, value) and not any(f"{key}.".startswith(f"{name}.") for name in given)
    }
    if isinstance(values.get("data"), Mapping) and values["data"].get("_option_") != "huggingface":
        found.pop("data.dataset", None)  # the name of a class of torchvision
    places = read_config_directories(directory)
    return found | ({"--config-dir": ":".join(map(str, places))} if places else {})


def is_foreign(key: str, value: object) -> bool:
    """Whether the value of a key is the name of a file, a server, or a class outside of this package."""
    if key.endswith("_target_"):
        return not str(value).startswith("sota_exp.")
    return key in NAMING_KEYS and isinstance(value, str) and value not in NOT_PATHS


def leave_out_cache(directory: Path, configuration: Configuration) -> Configuration:
    """The configuration of a run; of somebody else's run without its cache, as everybody has one."""
    data = configuration.values.get("data")
    if is_own(directory) or not isinstance(data, Mapping):
        return configuration
    kept = {key: value for key, value in data.items() if key != "cache"}
    return replace(configuration, values={**configuration.values, "data": kept})


def require_plain_files(directory: Path) -> None:
    """Check that somebody else's directory has files and folders alone, and no link that leaves it.

    Raises:
        ConfigError: it has others.
    """
    if not is_trusted(directory):
        require_trust(directory, dict(islice(_find_odd_entries(directory), MOST_LISTED)))


def _find_odd_entries(directory: Path) -> Iterator[tuple[str, str]]:
    """(path, what it is) of each link that leaves the directory, pipe, socket and device in it."""
    home = directory.resolve()
    entries = (Path(folder) / name for folder, inner, names in os.walk(directory) for name in (*inner, *names))
    for path in islice(entries, MOST_ENTRIES):
        name, mode = str(path.relative_to(directory)), path.lstat().st_mode
        if stat.S_ISLNK(mode) and not path.resolve().is_relative_to(home):
            yield name, f"a link to {os.readlink(path)}"
        elif not (stat.S_ISLNK(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            yield name, "no file"
