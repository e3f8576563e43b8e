"""Stepping by step: the schedule moves with every optimizer step.

progress = step / total_steps.

Paper: Loshchilov & Hutter 2016, SGDR: Stochastic Gradient Descent with Warm Restarts, 1608.03983
Setting: the default: short trainings, of few epochs, get a smooth schedule and a warm-up that really starts small.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import Stepping


@dataclass(frozen=True, kw_only=True)
class Step(Stepping):
    """Moves the schedule with every optimizer step."""

    def __call__(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return step / total_steps
