"""Group norm: normalizes each sample over groups of its channels, independently of the batch size.

y = γ·(x − μ_g)/√(σ²_g + ε) + β, with the mean and variance of one group of channels of one sample. A layer whose number
of channels is no multiple of `num_groups` gets their greatest common divisor of groups. γ and β are kept, running
statistics are dropped.

Paper: Wu & He 2018, Group Normalization, 1803.08494
Setting: num_groups 32: 10.6 points better than batch norm at 2 images per device, 0.5 worse at 32 (ResNet-50,
ImageNet).
"""

import logging
import math
from dataclasses import dataclass

from torch import nn

from sota_exp.models.parts import replace_batch_norms
from sota_exp.stages.model import ModelTransform
from sota_exp.stages.stage import Count

log = logging.getLogger(__name__)


def to_group_norm(norm: nn.BatchNorm2d, num_groups: int) -> nn.GroupNorm:
    """The group norm with the scale and shift parameters of `norm`."""
    layer = nn.GroupNorm(math.gcd(num_groups, norm.num_features), norm.num_features, norm.eps)
    layer.weight, layer.bias = norm.weight, norm.bias
    return layer


@dataclass(frozen=True, kw_only=True)
class GroupNormalization(ModelTransform):
    num_groups: Count

    def __call__(self, model: nn.Module) -> nn.Module:
        means = [layer.running_mean for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        if any(mean.any() for mean in means if mean is not None):
            log.warning("group norm drops the running statistics of the loaded weights, which changes their outputs")
        return replace_batch_norms(model, lambda norm: to_group_norm(norm, self.num_groups))
