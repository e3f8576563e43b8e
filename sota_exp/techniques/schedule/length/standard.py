"""Standard length: as many epochs as the scale asks for.

length = epochs; a schedule keeps its shape at any length.

Paper: He et al. 2015, Deep Residual Learning for Image Recognition, 1512.03385
Setting: 90 epochs on ImageNet (`scale=full`), which ranks the regularizers less fairly than 300 or 600.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import Length


@dataclass(frozen=True, kw_only=True)
class Standard(Length):
    """Trains for `epochs` passes over the training set."""
