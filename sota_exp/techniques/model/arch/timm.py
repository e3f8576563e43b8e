"""timm: any of more than a thousand networks of timm, by name.

`timm.list_models("*convnext*")` lists names. A transformer is built for one image size: pass it as `img_size`.

Paper: Wightman 2019, PyTorch Image Models (software, no arXiv)
Setting: start with resnet18, convnext_atto or vit_tiny_patch16_224; img_size null keeps the default size of the
network.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from torch import nn

from sota_exp.models.network_names import list_networks
from sota_exp.models.zoo import OFFLINE, advised, build_timm, find_timm_preprocessing, load_timm_weights
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import Model, PublishedWeights
from sota_exp.stages.stage import Pixels, known_name


@dataclass(frozen=True, kw_only=True)
class TimmNetwork(Model):
    name: Annotated[str, known_name("network of timm", partial(list_networks, "timm"))]
    img_size: Pixels | None

    def __call__(self, num_classes: int) -> nn.Module:
        return build_timm(self.name, num_classes, self.img_size)

    def load_published(self, tag: str) -> PublishedWeights:
        with advised(OFFLINE):
            return load_timm_weights(self.name, tag, self.img_size)

    def find_preprocessing(self, tag: str) -> Preprocessing:
        return find_timm_preprocessing(self.name, tag)
