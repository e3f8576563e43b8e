"""Standard length: trains for the number of epochs of `scale`.

length = epochs; a schedule has the same shape at any length.

Paper: He et al. 2015, Deep Residual Learning for Image Recognition, 1512.03385
Setting: 90 epochs on ImageNet (`scale=full`); regularizers gain more in 300 or 600 epochs, so compare them there.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import TrainingLength


@dataclass(frozen=True, kw_only=True)
class StandardTraining(TrainingLength):
    """Trains for `epochs` passes over the training set."""
