"""Head only: trains the classifier; all other layers keep the weights that were loaded (linear probing).

∂w = 0 for all parameters but the classifier's. The frozen layers are in evaluation mode, so norm statistics stay too.

Paper: Kornblith, Shlens & Le 2018, Do Better ImageNet Models Transfer Better?, 1805.08974
Setting: with `model/weights=pretrained` and few images per class; learning rate 0.1 or more with SGD, no weight decay.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from sota_exp.models.parts import freeze_all_but_classifier, get_classifier_layer
from sota_exp.stages.model import Tuning


@dataclass(frozen=True, kw_only=True)
class HeadOnlyTuning(Tuning):
    def groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        head = set(get_classifier_layer(model).parameters())
        kept = [{**group, "params": [p for p in group["params"] if p in head], "lr_scale": 1.0} for group in groups]
        return [group for group in kept if group["params"]]

    def __call__(self, model: nn.Module, progress: float) -> None:
        freeze_all_but_classifier(model)
