"""Reads weights from safetensors, or from PyTorch's own format with `weights_only`, so that no file can run code."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sota_exp.config.data_paths import find_path_problem
from sota_exp.config.fingerprint import canonicalize_option
from sota_exp.config.hashing import compute_digest
from sota_exp.errors import first_line
from sota_exp.models.foreign_checkpoint import find_weights, find_wrappers, load_plain
from sota_exp.models.model_json import read_description
from sota_exp.models.weights_from_mlflow import fetch_weights_file
from sota_exp.runs.digests import check_digest
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import PublishedWeights
from sota_exp.stages.stage import InvalidValue, Legal

#: No normalization: images stay in [0, 1].
NO_NORMALIZATION = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

ChannelMean = Annotated[list[float], Legal(lambda value: len(value) == 3, "three numbers")]
ChannelStd = Annotated[list[float], Legal(lambda value: len(value) == 3 and min(value) > 0, "three numbers above 0")]

log = logging.getLogger(__name__)


def replace_mean_and_std(mean: list[float] | None, std: list[float] | None, default: Preprocessing) -> Preprocessing:
    """`default` with `mean` and `std`, three numbers each, replaced where they are given."""
    return replace(
        default,
        mean=default.mean if mean is None else (mean[0], mean[1], mean[2]),
        std=default.std if std is None else (std[0], std[1], std[2]),
    )


def read_weights(
    path: str, store: str | None, prefix: str, default: Preprocessing, entry: str | None = None
) -> PublishedWeights:
    """The weights of a file, or of an MLflow run as `runs:/RUN_ID`, and their preprocessing.

    store: an MLflow tracking URI, None for the default store. prefix: read only the keys that start with it, and strip
    it. entry: the key of the weights in a checkpoint (`read_state`). The preprocessing is that of the `model.json`
    beside the weights, as runs write it, else `default`.
    """
    with fetch_weights_file(path, store) as file:
        state, description = read_state(str(file), prefix, entry), _read_description_beside(file)
    described = description.get("preprocessing", {})
    default = replace(default, interpolation=described.get("interpolation", default.interpolation))
    preprocessing = replace_mean_and_std(described.get("mean"), described.get("std"), default)
    return PublishedWeights(
        state=state,
        preprocessing=preprocessing,
        content_hash=hash_weights_with_use(state, preprocessing if described else None, description),
        description=description,
    )


def _read_description_beside(file: Path) -> dict[str, Any]:
    """The `model.json` beside a file of weights; empty where there is none, or one of another program."""
    path = file.with_name("model.json")
    if not path.is_file():
        return {}
    description = read_description(path)
    if description is None:
        log.warning("%s is not a model.json of a run: it is ignored", path)
    return description or {}


def read_state(path: str, prefix: str, entry: str | None = None) -> dict[str, Tensor]:
    """The state dict in a file, key → tensor [...]; only keys that start with `prefix`, which is stripped.

    entry: the key of the weights in a checkpoint; None: as `find_weights` chooses. Wrappers of the whole network
    are stripped too, unless a prefix is given.

    Raises:
        InvalidValue: the file is missing or unreadable, has no weights, no such entry or several unknown ones, or no
            key starts with `prefix`.
        DamagedFile: it is not as the run wrote it.
    """
    if problem := find_path_problem(Path(path), is_folder=False):
        raise InvalidValue("path", path, f"a file of weights; {problem}")
    check_digest(Path(path))
    try:
        found = load_file(path) if path.endswith(".safetensors") else load_plain(path)
    except Exception as error:
        fix = "save its weights alone: torch.save(network.state_dict(), FILE)"
        legal = f"a safetensors file or a PyTorch file of tensors and plain values ({first_line(error)}); {fix}"
        raise InvalidValue("path", path, legal) from error
    found = find_weights(found, path, entry)
    if found and not prefix:
        prefix = find_wrappers(found)
    state = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    if not state:
        raise InvalidValue("prefix", prefix, f"a prefix of keys such as {next(iter(found), '')}")
    return state


def hash_weights_with_use(
    state: Mapping[str, Tensor], preprocessing: Preprocessing | None, description: Mapping[str, Any]
) -> str:
    """A hash of the weights, key → tensor [...], of their preprocessing and of the network of their `model.json`."""
    network: dict[str, Any] = {}
    if description:
        transforms = description["transforms"].items()
        meanings = {name: canonicalize_option(node, f"regularization.{name}") for name, node in transforms}
        network = {
            "classes": description["classes"],
            "arch": canonicalize_option(description["arch"], "model.arch"),
            "transforms": {name: node for name, node in meanings.items() if node},
        }
    if preprocessing is None and not network:
        return hash_tensors(state)
    images = None if preprocessing is None else asdict(preprocessing)
    return compute_digest([hash_tensors(state), images, network], length=16)


def hash_tensors(state: Mapping[str, Tensor]) -> str:
    """A hash of the keys, types, shapes and values of tensors [...], independent of their order and source."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
