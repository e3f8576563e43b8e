"""Hydra's sweeper for `-m`, which composes and checks the runs of all combinations before the first one starts."""

import secrets
from abc import abstractmethod
from itertools import count
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from sota_exp.config.configuration import Configuration, resolve_configuration
from sota_exp.config.job_returns import get_error
from sota_exp.config.launch import MAX_LOSSES, launch_jobs
from sota_exp.config.recipe_values import extract_run
from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError, RunLost


class MultirunWatcher(Callback):
    """A callback of Hydra that also follows runs of `-m` while other processes train them."""

    @abstractmethod
    def begin(self, directory: Path, num_runs: int) -> None:
        """Called before the first launch. num_runs: of all launches."""

    @abstractmethod
    def look(self) -> None:
        """Called every second while runs train in other processes."""


class CheckedSweeper(BasicSweeper):
    """Hydra's `BasicSweeper`: one run per combination of the values that commas separate."""

    def sweep(self, arguments: list[str]) -> list[list[JobReturn]]:
        """Run all combinations, as Hydra does, but without replacing what another command wrote.

        Raises:
            ConfigError: a run is not legal.
            RunLost: a run was lost `MAX_LOSSES` times.
        """
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        batches = self.split_arguments(overrides, self.max_batch_size)
        save_command(self.config, Path(self.config.hydra.sweep.dir))
        for watcher in self._find_watchers():
            watcher.begin(Path(self.config.hydra.sweep.dir), sum(map(len, batches)))
        returned: list[list[JobReturn]] = []
        for batch in batches:
            returned.append(self._launch(batch, sum(map(len, returned))))
            for job in returned[-1]:
                _ = job.return_value  # It raises the error of the job.
        return returned

    def _launch(self, batch: list[list[str]], first_index: int) -> list[JobReturn]:
        """What the runs returned; those that were lost are launched again, with those of their launch.

        Runs that have ended return at once, and keep their numbers so.
        """
        assert self.launcher is not None
        for _ in range(MAX_LOSSES):
            returned = launch_jobs(self.launcher, batch, first_index, self._look)
            if not any(isinstance(get_error(job), RunLost) for job in returned):
                break
        return returned

    def _find_watchers(self) -> list[MultirunWatcher]:
        assert self.hydra_context is not None
        return [each for each in self.hydra_context.callbacks.callbacks if isinstance(each, MultirunWatcher)]

    def _look(self) -> None:
        for watcher in self._find_watchers():
            watcher.look()

    def split_arguments(  # type: ignore[override]
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The runs in batches, each a list of overrides; all are checked before anything is written or launched.

        Raises:
            ConfigError: a run is not legal.
        """
        batches = super().split_arguments(overrides, max_batch_size)
        jobs = [job for batch in batches for job in batch]
        shared = set.intersection(*map(set, jobs))
        for job in jobs:
            self.check(job, " ".join(word for word in job if word not in shared))
        return batches

    def check(self, job: list[str], name: str) -> None:
        """Check the run with these overrides, without importing PyTorch. name: those of them that not all runs have.

        Raises:
            ConfigError: it is not legal.
        """
        configuration = self.compose(job)
        try:
            check_rules(configuration)
        except ConfigError as error:
            raise ConfigError(f"{error} (in the run {name}; no run was started)" if name else str(error)) from error

    def compose(self, job: list[str]) -> Configuration:
        """The configuration of the run with these overrides."""
        assert self.hydra_context is not None and self.config is not None
        config, choices = extract_run(self.hydra_context.config_loader.load_sweep_config(self.config, job))
        return resolve_configuration(config, choices, job)


def save_command(config: DictConfig, directory: Path) -> None:
    """Write the configuration of a command for several runs to `multirun.yaml` in their directory.

    The first command of a directory keeps that file; each other one gets `multirun-2.yaml` and so on.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = OmegaConf.to_yaml(config).encode()
    for number in count(1):
        path = directory / ("multirun.yaml" if number == 1 else f"multirun-{number}.yaml")
        if not path.exists():
            draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
            draft.write_bytes(written)
            draft.replace(path)
            return
        if path.read_bytes() == written:
            return
