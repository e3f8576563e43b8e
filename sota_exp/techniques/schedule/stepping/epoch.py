"""Stepping by epoch: updates the schedule at the start of every epoch.

progress = ⌊step / steps_per_epoch⌋ · steps_per_epoch / total_steps.

Paper: Vryniotis 2021, How to Train State-Of-The-Art Models Using TorchVision's Latest Primitives (PyTorch blog, no
arXiv)
Setting: for exact agreement with torchvision's reference, which steps once per epoch: 0.005, 0.104, … 0.5 in warm-up.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import ScheduleStepping


@dataclass(frozen=True, kw_only=True)
class SteppingPerEpoch(ScheduleStepping):
    def __call__(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return step // steps_per_epoch * steps_per_epoch / total_steps
