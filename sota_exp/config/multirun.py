"""Hydra's sweeper for `-m`, which composes and checks the runs of all combinations before the first one starts."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override

from sota_exp.config.configuration import Configuration, resolve_configuration
from sota_exp.config.recipe_values import extract_run
from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError


class CheckedSweeper(BasicSweeper):
    """Hydra's `BasicSweeper`: one run per combination of the values that commas separate."""

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

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Does nothing: `split_arguments` has composed all runs."""

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
