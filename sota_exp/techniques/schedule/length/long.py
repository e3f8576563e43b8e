"""Long training: trains for several times the standard number of epochs, with the schedule stretched accordingly.

length = epochs; warm-up, learning-rate decay and averaging are fractions of training, so they are stretched too.

Paper: Hoffer et al. 2017, Train longer, generalize better, 1705.08741
Setting: 600 epochs instead of 90: +1.8 points for ResNet-50 on ImageNet, the largest step of torchvision's recipe.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import TrainingLength


@dataclass(frozen=True, kw_only=True)
class LongTraining(TrainingLength):
    """Trains for `epochs` passes over the training set, several times the standard length."""
