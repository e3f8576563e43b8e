"""Weight decay everywhere: applies weight decay to every parameter, including normalization layers and biases.

∇L(w) + λ·w for every w (coupled or decoupled, depending on the optimizer).

Paper: Krogh & Hertz 1991, A Simple Weight Decay Can Improve Generalization (NIPS, no arXiv)
Setting: λ 1e-4 with SGD: torchvision's baseline for ResNet-50 and the default of most older recipes.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from sota_exp.stages.optimizer import ParameterGroups


@dataclass(frozen=True, kw_only=True)
class WeightDecayEverywhere(ParameterGroups):
    def __call__(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        return [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": weight_decay}]
