"""Hydra's plugin for Optuna sweeps: the configuration and parser of hydra-optuna-sweeper, with a loop of our own.

Hydra finds it by the entry point `hydra.plugins` and imports it at every start, so Optuna is imported only when a
sweep begins.
"""

import warnings
from typing import Any

from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import DictConfig

from sota_exp.errors import Interrupted, RunFailed


class TrialSweeper(OptunaSweeper):
    """Its keys are in `conf/hydra/sweeper/sota_exp.yaml`; those of hydra-optuna-sweeper keep their meaning."""

    def __init__(self, sampler: Any, n_trials: int, **settings: Any) -> None:
        stock = ("direction", "storage", "study_name", "n_jobs", "max_failure_rate", "params")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About experimental arguments of this sampler, which is not used.
            given = {name: settings[name] for name in stock}
            super().__init__(sampler, n_trials=n_trials, custom_search_space=None, **given)
        self.settings = {"sampler": sampler, "n_trials": n_trials, **settings}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.hydra_context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> None:
        """Search until `n_trials` or a budget is reached, then confirm, and write and print the result.

        Raises:
            ConfigError: a setting is not legal, or the study in the storage searches something else.
            RunFailed: too many trials failed, or none is complete.
            Interrupted: a signal ended a trial.
        """
        from sota_exp.sweep.end import conclude, leave
        from sota_exp.sweep.loop import search
        from sota_exp.sweep.sweep import Sweep

        sweep = Sweep.open(self.settings, self.sweeper, arguments)
        sweep.begin()
        try:
            conclude(sweep, search(sweep))
        except (RunFailed, Interrupted, KeyboardInterrupt) as error:  # A launcher raises KeyboardInterrupt.
            leave(sweep, error)
            raise
