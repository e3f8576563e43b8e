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
    log.info(
        "the weights have no statistics of batch norm: mean 0 and variance 1, as if trained with group norm or none"
    )
    extended = dict(state)
    for name, layer in norms.items():
        scale = state[f"{name}.weight"]
        extended[f"{name}.running_mean"] = torch.zeros_like(scale)
        extended[f"{name}.running_var"] = torch.full_like(scale, 1 - layer.eps)
        extended[f"{name}.num_batches_tracked"] = torch.tensor(1)
    return extended


def find_network_prefix(model: nn.Module, state: Mapping[str, Tensor], field: str, value: str) -> str:
    """What leads the names of all parameters of the network in a state dict, key → tensor [...], such as `backbone.`.

    "" where nothing does, or they are not all there. field, value: the key of the configuration that the weights come
    from, for the error.

    Raises:
        InvalidValue: several prefixes lead the names of all parameters.
    """
    names = [name for name, _ in model.named_parameters()]
    leads = [key.removesuffix(names[0]) for key in state if f".{key}".endswith(f".{names[0]}")] if names else []
    prefixes = [lead for lead in leads if all(lead + name in state for name in names)]
    if len(prefixes) > 1 and "" not in prefixes:
        raise InvalidValue(
            field,
            value,
            f"weights of one network; this one's are behind {' and '.join(prefixes)} in it: choose "
            f"(model.weights.prefix={prefixes[0]}), or save one of them alone",
        )
    return prefixes[0] if len(prefixes) == 1 else ""


def take_network_keys(model: nn.Module, state: Mapping[str, Tensor], field: str, value: str) -> dict[str, Tensor]:
    """The part of `state` behind the prefix of the network's parameters, key → tensor [...], without it."""
    prefix = find_network_prefix(model, state, field, value)
    found = {key.removeprefix(prefix): item for key, item in state.items() if key.startswith(prefix)}
    if prefix:
        others = [key for key in state if not key.startswith(prefix)]
        left_out = f"; {len(others)} left out, such as {others[0]}" if others else ""
        log.info("%s: the weights are its %d keys that start with %s%s", value, len(found), prefix, left_out)
    return found


def load_state(model: nn.Module, state: Mapping[str, Tensor], field: str, value: str) -> nn.Module:
    """Load a state dict, key → tensor [...], in place; a classifier of another size starts at zero, which is logged.

    field, value: the key of the configuration that the weights come from, for the error.

    Raises:
        InvalidValue: any other key is missing, unexpected, or of another shape, or several prefixes fit.
    """
    given = take_network_keys(model, state, field, value)
    state = add_neutral_statistics(model, zero_mismatched_classifier(model, given))
    own = model.state_dict()
    # PyTorch before 0.4.1 did not count batches, and files of that age are still in use.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    for problem, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)):
        if keys:
            legal = f"weights of this network; {len(keys)} keys are {problem}: {', '.join(keys[:3])}"
            if keys is missing and unexpected:
                choice = "choose by model.weights.prefix or model.weights.entry if this network is among them"
                legal += f"; it has {', '.join(unexpected[:3])} instead: {choice}"
            raise InvalidValue(field, value, legal)
    model.load_state_dict(state, strict=False)
    return model
