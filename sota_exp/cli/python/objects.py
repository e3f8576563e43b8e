"""Networks and data sets of Python as options of a run, which says honestly that no file has them."""

import hashlib
from typing import Any

import torch
from torch import nn

from sota_exp.config.hashing import compute_digest
from sota_exp.config.values import format_override_value
from sota_exp.data.python import hand_in_data
from sota_exp.errors import ConfigError
from sota_exp.models.cost import count_parameters
from sota_exp.stages.handed_in import hand_in

#: The largest size of evaluation in pixels that is taken from the images.
MOST_PIXELS = 224


def hand_in_objects(model: nn.Module | None, data: Any) -> list[str]:
    """The overrides that choose a network and a data set of this process; [] without both.

    Raises:
        ConfigError: the one is no module, or the other no data set.
    """
    found = [] if model is None else hand_in_network(model)
    if data is None:
        return found
    digest, side = hand_in_data(data)
    name = type(data.get("train") if isinstance(data, dict) else data).__name__
    size = f"data.image_size={min(side, MOST_PIXELS)}"
    return [*found, "data=python", f"data.name={format_override_value(name)}", f"data.digest='{digest}'", size]


def hand_in_network(model: nn.Module) -> list[str]:
    """The overrides that choose a network of this process.

    Raises:
        ConfigError: it is no module.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model: {type(model).__name__} is no torch.nn.Module: float [B, 3, H, W] → logits [B, C]")
    digest, name = digest_network(model), type(model).__name__
    hand_in(digest, model)
    facts = {"name": name, "num_parameters": count_parameters(model), "digest": digest}
    return ["model/arch=python", *(f"model.arch.{key}={format_override_value(value)}" for key, value in facts.items())]


def digest_network(model: nn.Module) -> str:
    """A digest of what a module prints, and of the names, types, shapes and bits of its weights."""
    content = hashlib.sha256(repr(model).encode())
    for name, tensor in sorted(model.state_dict().items()):
        bits = tensor.detach().cpu().contiguous()
        content.update(f"{name}{bits.dtype}{tuple(bits.shape)}".encode())
        content.update(bits.reshape(-1).view(torch.uint8).numpy().tobytes())
    return compute_digest([content.hexdigest()], length=32)
