"""timm: any of more than a thousand networks of timm, by name.

`timm.list_models("*convnext*")` lists names. A transformer is built for one image size: pass it as `img_size`.

Paper: Wightman 2019, PyTorch Image Models (software, no arXiv)
Setting: start with resnet18, convnext_atto or vit_tiny_patch16_224; img_size null keeps the default size of the
network.
"""

from dataclasses import dataclass

import timm
from torch import nn

from sota_exp.models.zoo import build_timm, load_timm_weights, require_known
from sota_exp.stages.model import Model, PublishedWeights
from sota_exp.stages.stage import Pixels


@dataclass(frozen=True, kw_only=True)
class TimmNetwork(Model):
    name: str
    img_size: Pixels | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("name", self.name, timm.list_models(), "network of timm")

    def __call__(self, num_classes: int) -> nn.Module:
        return build_timm(self.name, num_classes, self.img_size)

    def load_published(self, tag: str) -> PublishedWeights:
        return load_timm_weights(self.name, tag, self.img_size)
