"""Networks by library and name, the weights published for them, and weights in files.

Libraries: `small` (ours), `torchvision`, `timm`. Files are safetensors, or PyTorch's own format read with `weights_only`, so
that no file can run code.
"""

import difflib
import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from sota_exp.config import build as configured
from sota_exp.config import digest
from sota_exp.description import read_description
from sota_exp.model.arch.small import SHAPES, Small
from sota_exp.stages import InvalidValue, Model, ModelTransform, Preprocessing, Published
from sota_exp.tracking.mlflow_artifacts import local

#: What regularization changes of a network, in the order in which it is applied.
TRANSFORMS = ("norm", "stochastic_depth", "dropout")

log = logging.getLogger(__name__)

# Where frameworks put the weights inside a training checkpoint.
NESTED = ("state_dict", "model", "model_state_dict")

# Both train with auxiliary classifiers, and their published weights expect images scaled to [-1, 1], not ImageNet's scale.
WITH_AUXILIARY = ("googlenet", "inception_v3")

#: Of images as they are, between 0 and 1.
AS_THEY_ARE = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def require_known(field: str, name: str, known: Iterable[str], kind: str) -> None:
    """Raise `InvalidValue` unless `name` is among `known`, with the nearest names that are."""
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise InvalidValue(
            field, name, f"a {kind}; near: {', '.join(near)}" if near else f"a {kind}, of which there are {len(known)}"
        )


def torchvision_names() -> list[str]:
    """Names of torchvision's classification networks."""
    return torchvision.models.list_models(module=torchvision.models)


def build_torchvision(name: str, num_classes: int) -> nn.Module:
    """An untrained network of torchvision, without auxiliary classifiers."""
    extra = {"aux_logits": False, "init_weights": True} if name in WITH_AUXILIARY else {}
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **extra)


def build_timm(name: str, num_classes: int, img_size: int | None) -> nn.Module:
    """An untrained network of timm; `img_size` in pixels for those that are built for one size."""
    extra: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
    try:
        return timm.create_model(name, pretrained=False, num_classes=num_classes, **extra)
    except TypeError as error:
        if img_size is None or "img_size" not in str(error):
            raise
        raise InvalidValue("img_size", img_size, f"null: {name} reads images of any size") from error


def build(name: str, num_classes: int) -> nn.Module:
    """An untrained network by name: ours, else torchvision's, else timm's. Raises `InvalidValue` for another name."""
    if name in SHAPES:
        return Small(name=name, width_multiplier=1.0)(num_classes)
    if name in torchvision_names():
        return build_torchvision(name, num_classes)
    require_known("name", name, [*SHAPES, *torchvision_names(), *timm.list_models()], "network")
    return build_timm(name, num_classes, None)


def described(description: Mapping[str, Any]) -> nn.Module:
    """The untrained network of a `model.json`: its architecture, with its classes, as regularization changed it.

    Raises `ConfigError` for a description that does not build.
    """
    network = configured(Model, description["arch"], "arch")(len(description["classes"]))
    for name in TRANSFORMS:
        network = configured(ModelTransform, description["transforms"][name], f"transforms.{name}")(network)
    return network


@lru_cache(maxsize=1)
def published_torchvision(name: str, tag: str) -> Published:
    """Torchvision's published weights; "" for the best. Raises `InvalidValue`, or `OSError` when they cannot be fetched."""
    known = torchvision.models.get_model_weights(name)
    tag = tag or "DEFAULT"
    require_known("tag", tag, known.__members__, f"weight of {name}")
    try:
        state = dict(known[tag].get_state_dict(progress=False, check_hash=True, weights_only=True))
    except OSError as error:
        raise OSError(f"cannot fetch the weights {tag} of torchvision's {name}: {error}") from error
    preset = known[tag].transforms()
    mean, std = tuple(preset.mean), tuple(preset.std)
    if name in WITH_AUXILIARY:
        state = {key: value for key, value in state.items() if not key.lower().startswith("aux")}
        mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    preprocessing = Preprocessing(mean=mean, std=std, interpolation=preset.interpolation.value)
    seen = sizes_in_words(preset.crop_size[0], preset.crop_size[0] / preset.resize_size[0])
    return Published(
        state=state, preprocessing=preprocessing, content=content_of(state, preprocessing, {}), evaluated_at=seen
    )


@lru_cache(maxsize=1)
def published_timm(name: str, tag: str, img_size: int | None) -> Published:
    """timm's published weights; "" for its default. Raises `InvalidValue`, or `OSError` when they cannot be fetched."""
    full_name = f"{name}.{tag}" if tag else name
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}*") if known.partition(".")[0] == name]
    if not tags:
        raise InvalidValue("tag", tag, f"no weights at all: nobody published any of timm's {name}")
    require_known("tag", tag or tags[0], tags, f"weight of {name}")
    extra: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
    try:
        model = timm.create_model(full_name, pretrained=True, **extra)
    except (OSError, RuntimeError) as error:
        raise OSError(f"cannot fetch the weights {full_name} of timm: {error}") from error
    settings: Any = model.pretrained_cfg
    state = model.state_dict()
    preprocessing = Preprocessing(
        mean=tuple(settings["mean"]), std=tuple(settings["std"]), interpolation=settings["interpolation"]
    )
    seen = sizes_in_words(settings["input_size"][-1], settings["crop_pct"])
    return Published(
        state=state, preprocessing=preprocessing, content=content_of(state, preprocessing, {}), evaluated_at=seen
    )


def sizes_in_words(size: int, crop_ratio: float) -> str:
    """How published weights were evaluated, in the words of our overrides."""
    return f"data.image_size={size} data.crop_ratio={crop_ratio:.4g}"


def preprocessing_of(mean: list[float] | None, std: list[float] | None, default: Preprocessing) -> Preprocessing:
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
    preprocessing = preprocessing_of(seen.get("mean"), seen.get("std"), default)
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
    meant = {name: description[name] for name in ("arch", "transforms", "classes") if name in description}
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
