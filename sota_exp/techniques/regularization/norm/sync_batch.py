"""Synchronized batch norm: computes batch-norm statistics over the batches of all devices.

μ, σ² over the global batch; on one device it is batch norm.

Paper: Peng et al. 2017, MegDet: A Large Mini-Batch Object Detector, 1711.07240
Setting: for fewer than about 16 images per device; off in torchvision's recipe, which has 128 per device.
"""

from dataclasses import dataclass

from timm.layers import convert_sync_batchnorm
from torch import nn

from sota_exp.models.parts import require_batch_norm
from sota_exp.stages.model import ModelTransform


@dataclass(frozen=True, kw_only=True)
class SyncBatchNormalization(ModelTransform):
    def __call__(self, model: nn.Module) -> nn.Module:
        require_batch_norm(model)
        return convert_sync_batchnorm(model)
