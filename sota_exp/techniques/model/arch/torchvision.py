"""torchvision: any of the eighty classification networks of torchvision, by name.

`torchvision.models.list_models(module=torchvision.models)` lists names. Auxiliary classifiers are removed.

Paper: TorchVision maintainers 2016, TorchVision: PyTorch's Computer Vision library (software, no arXiv)
Setting: resnet50: 76.1 % on ImageNet with the classic recipe, 80.9 % with torchvision's new one.
"""

from dataclasses import dataclass

from torch import nn

from sota_exp.models.zoo import build_torchvision, published_torchvision, require_known, torchvision_names
from sota_exp.stages.model import Model, Published


@dataclass(frozen=True, kw_only=True)
class Torchvision(Model):
    """A network of torchvision."""

    name: str

    def __post_init__(self) -> None:
        require_known("name", self.name, torchvision_names(), "classification network of torchvision")

    def __call__(self, num_classes: int) -> nn.Module:
        return build_torchvision(self.name, num_classes)

    def published(self, tag: str) -> Published:
        return published_torchvision(self.name, tag)
