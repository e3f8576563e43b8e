"""What Hydra writes of a configuration: without credentials, and with folders whose names it could not hold otherwise.

Those are names with `${`, or bytes that are not UTF-8.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sota_exp.config.credentials import hide_in_config
from sota_exp.config.data_paths import find_path_problem
from sota_exp.config.printable import is_utf8, make_printable
from sota_exp.config.values import escape_interpolations, is_multirun
from sota_exp.errors import ConfigError


def require_utf8(arguments: Sequence[str]) -> None:
    """Check that Hydra can write `multirun.yaml` for several runs, which has the arguments and the working folder.

    Raises:
        ConfigError: one has bytes that are not UTF-8.
    """
    if is_multirun(arguments):
        for name in (os.getcwd(), *arguments):
            if not is_utf8(name):
                raise ConfigError(f"{name}: the file multirun.yaml of several runs needs names in UTF-8; rename it")


def require_real_parents(arguments: Sequence[str]) -> None:
    """Check that each `..` in a folder for runs follows a folder that is there: Hydra would make that folder too.

    Raises:
        ConfigError: one does not.
    """
    for word in arguments:
        key, _, value = word.partition("=")
        parts = Path(value.strip("'\"")).parts if key in ("hydra.run.dir", "hydra.sweep.dir") else ()
        for index in [index for index, part in enumerate(parts) if part == ".."]:
            if problem := not (above := Path(*parts[:index])).is_dir() and find_path_problem(above, is_folder=True):
                raise ConfigError(f"{word}: {problem}; write the path without ..: {key}=DIR")


def require_used_folder(arguments: Sequence[str]) -> None:
    """Check that a folder for runs is one that Hydra uses: for one run, or for several, as those of a study.

    Raises:
        ConfigError: the folders given are those of the other kind alone.
    """
    words = ("hydra.run.dir", "hydra.sweep.dir")
    meant, other = reversed(words) if is_multirun(arguments) else words
    given = dict(word.split("=", 1) for word in arguments if word.startswith(tuple(f"{key}=" for key in words)))
    if other in given and meant not in given and "--cfg" not in arguments:
        which = "several runs lie" if is_multirun(arguments) else "one run lies"
        raise ConfigError(f"{other}={given[other]}: {which} in another folder: {meant}={given[other]}")


@functools.cache
def prepare_written_configs() -> None:
    """Leave out credentials, and rewrite both folders, when Hydra sets the configuration of a job, which it writes."""
    set_config = HydraConfig.set_config

    def set_as_written(self: HydraConfig, cfg: DictConfig) -> None:
        hide_in_config(cfg)
        runtime = cfg.hydra.runtime
        given = OmegaConf.to_container(runtime, resolve=False)
        assert isinstance(given, dict)
        with read_write(runtime), open_dict(runtime):
            for key, rewrite in (("cwd", make_printable), ("output_dir", os.path.relpath)):
                folder = given.get(key)
                if isinstance(folder, str) and not is_utf8(folder):
                    folder = runtime[key] = rewrite(folder)
                if isinstance(folder, str) and "${" in folder.replace(r"\${", ""):
                    runtime[key] = escape_interpolations(folder)
        set_config(self, cfg)

    HydraConfig.set_config = set_as_written  # type: ignore[method-assign]
