"""Weights in files: safetensors, or PyTorch's own format read with `weights_only`, so that no file can run code."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sota_exp.config.fingerprint import option_meaning
from sota_exp.config.hashing import digest
from sota_exp.models.model_json import read_description
from sota_exp.models.weights_from_mlflow import local
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import Published
from sota_exp.stages.stage import InvalidValue

#: Where frameworks put the weights inside a training checkpoint.
NESTED = ("state_dict", "model", "model_state_dict")

#: Of images as they are, between 0 and 1.
AS_THEY_ARE = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

log = logging.getLogger(__name__)


def preprocessing_with(mean: list[float] | None, std: list[float] | None, default: Preprocessing) -> Preprocessing:
    """`mean` and `std`, three numbers each, where they are given, else those of `default`, and its interpolation."""
    return replace(
        default,
        mean=default.mean if mean is None else (mean[0], mean[1], mean[2]),
        std=default.std if std is None else (std[0], std[1], std[2]),
    )


def read_published(path: str, store: str | None, prefix: str, default: Preprocessing) -> Published:
    """The weights in a file, or in a run of MLflow as `runs:/RUN_ID`, and how their images were resized and normalized.

    store: an MLflow tracking URI, None for the default store. prefix: only keys that start with it count, without it.
    The preprocessing is that of a `model.json` beside the weights, as runs write it, else `default`.
    Raises `InvalidValue` for a missing or unreadable file, one that holds no weights, or none under `prefix`.
    """
    with local(path, store) as file:
        state, description = read_state(str(file), prefix), description_beside(file)
    seen = description.get("preprocessing", {})
    default = replace(default, interpolation=seen.get("interpolation", default.interpolation))
    preprocessing = preprocessing_with(seen.get("mean"), seen.get("std"), default)
    return Published(
        state=state,
        preprocessing=preprocessing,
        content=content_of(state, preprocessing if seen else None, description),
        description=description,
    )


def description_beside(file: Path) -> dict[str, Any]:
    """The `model.json` beside a file of weights, as runs write it; empty where there is none, or another program's."""
    beside = file.with_name("model.json")
    if not beside.is_file():
        return {}
    found = read_description(beside)
    if found is None:
        log.warning("%s is not what a run writes beside its weights: it is not read", beside)
    return found or {}


def read_state(path: str, prefix: str) -> dict[str, Tensor]:
    """The weights in a file; with a `prefix`, only keys that start with it, without it.

    Raises `InvalidValue` for a missing or unreadable file, one that holds no weights, or none under `prefix`.
    """
    if not Path(path).is_file():
        raise InvalidValue("path", path, "a file that exists")
    try:
        found = load_file(path) if path.endswith(".safetensors") else torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        raise InvalidValue("path", path, f"a safetensors file or a PyTorch file of plain tensors ({error})") from error
    for entry in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(entry), Mapping):
            found = found[entry]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InvalidValue("path", path, "a file that holds a state dict")
    state = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    if not state:
        raise InvalidValue("prefix", prefix, f"what keys start with, such as {next(iter(found), '')}")
    return state


def content_of(state: Mapping[str, Tensor], preprocessing: Preprocessing | None, description: Mapping[str, Any]) -> str:
    """A hash of weights and of what says how to use them: how images were prepared, and the network of a `model.json`."""
    meant: dict[str, Any] = {}
    if description:
        transforms = description["transforms"].items()
        named = {name: option_meaning(node, f"regularization.{name}") for name, node in transforms}
        meant = {
            "classes": description["classes"],
            "arch": option_meaning(description["arch"], "model.arch"),
            "transforms": {name: node for name, node in named.items() if node},
        }
    if preprocessing is None and not meant:
        return content_hash(state)
    seen = None if preprocessing is None else asdict(preprocessing)
    return digest([content_hash(state), seen, meant], length=16)


def content_hash(state: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and values, whatever their order and wherever they were read."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
