"""Dropout before the classifier: zeroes each feature with probability p in training and scales the rest by 1/(1 − p).

x′ = x·m / (1 − p), m ~ Bernoulli(1 − p), p = drop_rate; the identity in evaluation. If the network has dropout layers
before its classifier, their p is set; otherwise (ResNets) a hook of the classifier drops, so that state-dict keys do
not change.

Paper: Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting (JMLR, no arXiv)
Setting: p 0.2 for EfficientNet-B0, 0.5 for the widest; little or none for a ResNet with long, augmented training.
"""

from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from sota_exp.models.parts import find_head_dropouts, get_classifier_layer
from sota_exp.stages.model import ModelTransform
from sota_exp.stages.stage import FractionBelowOne


def drop_input(layer: nn.Module, inputs: tuple[Tensor], drop_rate: float) -> Tensor:
    """A forward pre-hook, [B, F] → [B, F]; the mode is that of the layer it is called with, also in a model's copy."""
    return F.dropout(inputs[0], drop_rate, training=layer.training)


@dataclass(frozen=True, kw_only=True)
class HeadDropout(ModelTransform):
    drop_rate: FractionBelowOne

    def __call__(self, model: nn.Module) -> nn.Module:
        present = find_head_dropouts(model)
        for dropout in present:
            dropout.p = self.drop_rate
        if not present:
            get_classifier_layer(model).register_forward_pre_hook(partial(drop_input, drop_rate=self.drop_rate))
        return model
