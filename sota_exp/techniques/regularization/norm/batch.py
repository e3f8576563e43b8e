"""Batch norm: normalizes each channel by the statistics of the batch, followed by a learnable scale and shift.

y = γ·(x − μ_B)/√(σ²_B + ε) + β; running ← (1 − momentum)·running + momentum·batch, used in evaluation.

Paper: Ioffe & Szegedy 2015, Batch Normalization: Accelerating Deep Network Training …, 1502.03167
Setting: momentum 0.1 and ε 1e-5 (null keeps the network's own values, which pretrained weights rely on).
zero_init_last_gamma true sets the last γ of each residual branch to zero, except in pretrained networks; false leaves γ
as built: zero in timm's ResNets, one in torchvision's.
"""

from dataclasses import dataclass

from torch import nn

from sota_exp.models.parts import is_untrained, zero_init_last_gamma
from sota_exp.stages.model import ModelTransform
from sota_exp.stages.stage import FractionAboveZero, Positive


@dataclass(frozen=True, kw_only=True)
class BatchNormalization(ModelTransform):
    momentum: FractionAboveZero | None
    eps: Positive | None
    zero_init_last_gamma: bool

    def __call__(self, model: nn.Module) -> nn.Module:
        if self.zero_init_last_gamma and is_untrained(model):
            zero_init_last_gamma(model)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = layer.momentum if self.momentum is None else self.momentum
                layer.eps = layer.eps if self.eps is None else self.eps
        return model
