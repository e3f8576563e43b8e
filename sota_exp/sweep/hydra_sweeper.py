"""Hydra's plugin for Optuna sweeps: the keys and the parser of hydra-optuna-sweeper, with a loop of our own.

Hydra finds it by the entry point `hydra.plugins` and imports it at every start, so Optuna is imported only when a
sweep begins.
"""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sota_exp.errors import Interrupted, RunFailed


class TrialSweeper(Sweeper):
    """Its keys are in `conf/hydra/sweeper/sota_exp.yaml`; those of hydra-optuna-sweeper keep their meaning."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search until `n_trials` or a budget is reached, then confirm, and write and print the result."""
        from sota_exp.sweep.sweep import Sweep

        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        sweep = Sweep.open(self.settings, self.config, self.launcher, self.hydra_context.config_loader, arguments)
        sweep.begin()
        from sota_exp.report.changing_line import loading_pytorch
        from sota_exp.report.terminal import make_console

        with loading_pytorch():  # once everything is checked
            from sota_exp.sweep.console import format_sweep_plan
            from sota_exp.sweep.end import finish_sweep, write_unfinished_sweep
            from sota_exp.sweep.loop import search

        make_console().print(format_sweep_plan(sweep.settings, sweep.goal.objectives), style="dim", soft_wrap=True)
        try:
            finish_sweep(sweep, search(sweep))
        except (RunFailed, Interrupted, KeyboardInterrupt) as error:  # A launcher raises KeyboardInterrupt.
            write_unfinished_sweep(sweep, error)
            raise
