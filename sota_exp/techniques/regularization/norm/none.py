"""No norm: replaces batch norm by its learnable scale and shift, without normalization.

y = γ′·x + β′ with γ′ = γ/√(σ² + ε) and β′ = β − γ′·μ from the running statistics (folding). A pretrained network thus
starts with its outputs in evaluation, and an untrained one has the same learnable parameters as with batch norm.

Paper: De & Smith 2020, Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep Networks,
2002.10444
Setting: zero_init_last_gamma true sets the last γ of each residual branch to zero (the paper's SkipInit), except in
pretrained networks; without it activations of deep networks overflow. Use a lower learning rate or adaptive clipping.
"""

from dataclasses import dataclass

import torch
from torch import nn

from sota_exp.models.parts import ChannelAffine, is_untrained, replace_batch_norms, zero_init_last_gamma
from sota_exp.stages.model import ModelTransform


def fold_norm(norm: nn.BatchNorm2d) -> ChannelAffine:
    """The scale and shift with the same output as `norm` in evaluation."""
    assert norm.running_mean is not None, "a batch norm that keeps running statistics"
    assert norm.running_var is not None, "a batch norm that keeps running statistics"
    weight = (norm.weight * torch.rsqrt(norm.running_var + norm.eps)).detach()
    bias = (norm.bias - weight * norm.running_mean).detach()
    return ChannelAffine(weight, bias)


@dataclass(frozen=True, kw_only=True)
class NoNormalization(ModelTransform):
    zero_init_last_gamma: bool

    def __call__(self, model: nn.Module) -> nn.Module:
        untrained = is_untrained(model)
        replace_batch_norms(model, fold_norm)
        if self.zero_init_last_gamma and untrained:
            zero_init_last_gamma(model)
        return model
