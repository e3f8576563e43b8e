"""Lets Hydra work in folders whose names its configuration cannot hold: with `${`, or bytes that are not UTF-8."""

import functools
import os
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

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


@functools.cache
def read_folders_literally() -> None:
    """Rewrite both folders whenever Hydra has set the configuration of a job; until then nothing has read them."""
    set_config = HydraConfig.set_config

    def set_with_literal_folders(self: HydraConfig, cfg: DictConfig) -> None:
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

    HydraConfig.set_config = set_with_literal_folders  # type: ignore[method-assign]
