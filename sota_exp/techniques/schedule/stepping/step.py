"""Stepping by step: updates the schedule at every optimizer step.

progress = step / total_steps.

Paper: Loshchilov & Hutter 2016, SGDR: Stochastic Gradient Descent with Warm Restarts, 1608.03983
Setting: the default: makes the schedule smooth, and the start of warm-up small, even in trainings of few epochs.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import ScheduleStepping


@dataclass(frozen=True, kw_only=True)
class SteppingPerStep(ScheduleStepping):
    def __call__(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return step / total_steps
