"""Hydra's sweeper for `-m`, which composes and checks the runs of all combinations before the first one starts."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from sota_exp.config.configuration import Configuration, resolve_configuration
from sota_exp.config.recipe_values import extract_run
from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError


class CheckedSweeper(BasicSweeper):
    """Hydra's `BasicSweeper`: one run per combination of the values that commas separate."""

    def sweep(self, arguments: list[str]) -> object:
        """Check all runs, then launch them.

        Raises:
            ConfigError: a run is not legal.
        """
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        (jobs,) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        shared = set.intersection(*map(set, jobs))
        for job in jobs:
            self.check(job, " ".join(word for word in job if word not in shared))
        return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Does nothing: `sweep` has composed all runs."""

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
