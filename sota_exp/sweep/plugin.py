"""Hydra's plugin for Optuna sweeps: the stock sweeper's configuration and parser, and a loop of our own behind them.

Hydra finds it by the entry point `hydra.plugins` and imports it at every start, so Optuna is imported when a sweep begins.
"""

import warnings
from typing import Any

from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import DictConfig

from sota_exp.errors import Interrupted, RunFailed


class TrialSweeper(OptunaSweeper):
    """The stock sweeper's keys keep their meaning; `conf/hydra/sweeper/sota_exp.yaml` lists those beside them."""

    def __init__(self, sampler: Any, n_trials: int, **settings: Any) -> None:
        stock = ("direction", "storage", "study_name", "n_jobs", "max_failure_rate", "params")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of the sampler's experimental arguments; it is made anew for each trial.
            given = {name: settings[name] for name in stock}
            super().__init__(sampler, n_trials=n_trials, custom_search_space=None, **given)
        self.settings = {"sampler": sampler, "n_trials": n_trials, **settings}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.hydra_context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> None:
        """Until the total is reached, or time, patience or luck ends; then confirm, and say what came out.

        Raises:
            ConfigError: the study in the storage searches something else. RunFailed: nothing works. Interrupted.
        """
        from sota_exp.sweep.end import conclude, leave
        from sota_exp.sweep.loop import Loop

        loop = Loop.open(self.settings, self.sweeper, arguments)
        loop.begin()
        try:
            conclude(loop, loop.search())
        except (RunFailed, Interrupted, KeyboardInterrupt) as error:  # The last from the launcher: it ends all jobs.
            leave(loop, error)
            raise
