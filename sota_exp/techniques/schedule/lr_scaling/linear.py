"""Linear scaling: scales the learning rate in proportion to the effective batch size (images per optimizer step).

factor(B) = B / base_batch_size.

Paper: Goyal et al. 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 1706.02677
Setting: for SGD with warm-up: with lr 0.1 per 256 images, ResNet-50 keeps its accuracy up to a batch size of 8,192.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import LrScaling
from sota_exp.stages.stage import Count


@dataclass(frozen=True, kw_only=True)
class LinearLrScaling(LrScaling):
    base_batch_size: Count

    def __call__(self, batch_size: int) -> float:
        return batch_size / self.base_batch_size
