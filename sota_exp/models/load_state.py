"""Loading a state dict into a network whose classifier may have another size."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sota_exp.models.parts import classifier_name
from sota_exp.stages.stage import InvalidValue

log = logging.getLogger(__name__)


def fitting(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with a classifier of zeros where the sizes differ: every class is equally likely at first.

    A network's own start is made for a thousand classes: timm's EfficientNets begin with weights of ±1/√C, which on their
    trained features is a cross-entropy of 10 to 15 for C = 5. Zeros are the start of Kolesnikov et al. 2019 (1912.11370).
    """
    own, head = model.state_dict(), classifier_name(model)
    keys = [f"{head}.{name}" for name, _ in model.get_submodule(head).named_parameters()]
    differing = [key for key in keys if key in state and state[key].shape[:1] != own[key].shape[:1]]
    if not differing:
        return dict(state)
    sizes = f"{len(state[differing[0]])} classes, here {len(own[differing[0]])}"
    log.info("The classifier %s starts at zero: the weights have %s.", head, sizes)
    return {**state, **{key: torch.zeros_like(own[key]) for key in keys}}


def with_statistics(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with running statistics that change nothing, where the network has batch norms and `state` no statistics at all.

    Weights that were trained with group norm or none name their scales and shifts as batch norm does. Mean 0 and variance
    1 − ε fold into them without a trace; a batch that counts as seen says that the network is trained.
    """
    norms = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    if (
        not norms
        or any(key.endswith("running_mean") for key in state)
        or any(f"{n}.weight" not in state for n in norms)
    ):
        return dict(state)
    log.info(
        "the weights were trained without batch norm; under another regularization/norm than theirs they mean something else"
    )
    made = dict(state)
    for name, layer in norms.items():
        scale = state[f"{name}.weight"]
        made[f"{name}.running_mean"] = torch.zeros_like(scale)
        made[f"{name}.running_var"] = torch.full_like(scale, 1 - layer.eps)
        made[f"{name}.num_batches_tracked"] = torch.tensor(1)
    return made


def load(model: nn.Module, state: Mapping[str, Tensor], field: str, value: str) -> nn.Module:
    """Load `state` in place; a classifier of another size starts at zero, and the log says so.

    Raises `InvalidValue` of `field` where any other key is missing, left over, or of another shape.
    """
    state = with_statistics(model, fitting(model, state))
    own = model.state_dict()
    # PyTorch before 0.4.1 did not count batches, and files of that age are still about.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    for problem, keys in (("missing", missing), ("left over", unexpected), ("of another shape", shapes)):
        if keys:
            some = ", ".join(keys[:3])
            raise InvalidValue(field, value, f"weights of this network; {len(keys)} keys are {problem}: {some}")
    model.load_state_dict(state, strict=False)
    return model
