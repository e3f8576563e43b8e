"""Loads a state dict into a network whose classifier may have another size."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sota_exp.models.parts import find_classifier_name
from sota_exp.stages.stage import InvalidValue

log = logging.getLogger(__name__)


def zero_mismatched_classifier(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with a classifier of zeros, weight [C, F] and bias [C], where the numbers of classes differ.

    With zeros every class is equally likely at first, as in Kolesnikov et al. 2019 (1912.11370). The default
    initialization is made for a thousand classes: timm's EfficientNets draw from ±1/√C, which on their trained features
    gives a cross-entropy of 10 to 15 for C = 5.
    """
    own, head = model.state_dict(), find_classifier_name(model)
    keys = [f"{head}.{name}" for name, _ in model.get_submodule(head).named_parameters()]
    differing = [key for key in keys if key in state and state[key].shape[:1] != own[key].shape[:1]]
    if not differing:
        return dict(state)
    log.info(
        "the classifier %s starts at zero: the weights have %d classes, the data set has %d",
        head,
        len(state[differing[0]]),
        len(own[differing[0]]),
    )
    return {**state, **{key: torch.zeros_like(own[key]) for key in keys}}


def add_neutral_statistics(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with neutral running statistics [C] where the network has batch norms and `state` no statistics.

    Weights trained with group norm or no norm use batch norm's names for scale and shift. A running mean of 0 and a
    variance of 1 − ε make batch norm the identity before them; `num_batches_tracked` = 1 marks the network as trained.
    """
    norms = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    if (
        not norms
        or any(key.endswith("running_mean") for key in state)
        or any(f"{n}.weight" not in state for n in norms)
    ):
        return dict(state)
    log.info("the weights were trained without batch norm; with another regularization/norm their outputs differ")
    extended = dict(state)
    for name, layer in norms.items():
        scale = state[f"{name}.weight"]
        extended[f"{name}.running_mean"] = torch.zeros_like(scale)
        extended[f"{name}.running_var"] = torch.full_like(scale, 1 - layer.eps)
        extended[f"{name}.num_batches_tracked"] = torch.tensor(1)
    return extended


def load_state(model: nn.Module, state: Mapping[str, Tensor], field: str, value: str) -> nn.Module:
    """Load a state dict, key → tensor [...], in place; a classifier of another size starts at zero, which is logged.

    field, value: the key of the configuration that the weights come from, for the error.

    Raises:
        InvalidValue: any other key is missing, unexpected, or of another shape.
    """
    state = add_neutral_statistics(model, zero_mismatched_classifier(model, state))
    own = model.state_dict()
    # PyTorch before 0.4.1 did not count batches, and files of that age are still in use.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    for problem, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)):
        if keys:
            some = ", ".join(keys[:3])
            raise InvalidValue(field, value, f"weights of this network; {len(keys)} keys are {problem}: {some}")
    model.load_state_dict(state, strict=False)
    return model
