"""Networks and data sets of Python as options of a run, which says honestly that no file has them."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sota_exp.config.hashing import compute_digest
from sota_exp.config.values import format_override_value, get_override_key
from sota_exp.data.python import hand_in_data
from sota_exp.errors import ConfigError
from sota_exp.models.cost import count_parameters
from sota_exp.report.changing_line import ChangingLine
from sota_exp.stages.handed_in import hand_in

#: The largest size of evaluation in pixels that is taken from the images.
MOST_PIXELS = 224


def hand_in_objects(model: nn.Module | None, data: Any, words: Sequence[str] = ()) -> list[str]:
    """The overrides that choose a network and a data set of this process; [] without both. words: beside them.

    Raises:
        ConfigError: the one is no module, or the other no data set, or words choose another.
    """
    for name, key, given in (("model", "model/arch", model), ("data", "data", data)):
        chosen = [word for word in words if get_override_key(word) == key]
        if given is not None and chosen:
            raise ConfigError(f"{chosen[0]} chooses one, and the argument {name}= another: leave one of them out")
    found = [] if model is None else hand_in_network(model)
    if data is None:
        return found
    with closing(ChangingLine()) as line:
        line.show("reading the images that were handed in")
        digest, side = hand_in_data(data)
    given = data["train"] if isinstance(data, Mapping) else data
    name = "images" if isinstance(given, tuple) else type(given).__name__
    size = f"data.image_size={min(side, MOST_PIXELS)}"
    return [*found, "data=python", f"data.name={format_override_value(name)}", f"data.digest='{digest}'", size]


def hand_in_network(model: nn.Module) -> list[str]:
    """The overrides that choose a network of this process.

    Raises:
        ConfigError: it is no module, or one whose weights can't be trained.
    """
    if not isinstance(model, nn.Module):
        words = "; model/arch=torchvision model.arch.name=NAME chooses one by name" * isinstance(model, str)
        what = f"{model.__name__} is a class" if isinstance(model, type) else f"{type(model).__name__} is no module"
        raise ConfigError(f"model: {what}; legal: a torch.nn.Module, float [B, 3, H, W] → logits [B, C]{words}")
    if type(model).__name__ == "OptimizedModule":
        raise ConfigError("model: it is compiled; hand in the module itself, and choose runtime.compile=true")
    if any(map(is_lazy, model.parameters())):
        raise ConfigError(f"model: {type(model).__name__} has lazy weights; call it once before, with an image")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ConfigError(f"model: {type(model).__name__} has no weights to train")
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
