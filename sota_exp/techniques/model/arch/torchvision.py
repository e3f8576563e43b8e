"""torchvision: any of the eighty classification networks of torchvision, by name.

`torchvision.models.list_models(module=torchvision.models)` lists names. Auxiliary classifiers are removed.

Paper: TorchVision maintainers 2016, TorchVision: PyTorch's Computer Vision library (software, no arXiv)
Setting: resnet50: 76.1 % on ImageNet with the classic recipe, 80.9 % with torchvision's new one.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from torch import nn

from sota_exp.models.network_names import list_networks
from sota_exp.models.zoo import (
    OFFLINE,
    advised,
    build_torchvision,
    find_torchvision_preprocessing,
    load_torchvision_weights,
)
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import Model, PublishedWeights
from sota_exp.stages.stage import known_name


@dataclass(frozen=True, kw_only=True)
class TorchvisionNetwork(Model):
    name: Annotated[str, known_name("classification network of torchvision", partial(list_networks, "torchvision"))]

    def __call__(self, num_classes: int) -> nn.Module:
        return build_torchvision(self.name, num_classes)

    def load_published(self, tag: str) -> PublishedWeights:
        with advised(OFFLINE):
            return load_torchvision_weights(self.name, tag)

    def find_preprocessing(self, tag: str) -> Preprocessing:
        return find_torchvision_preprocessing(self.name, tag)
