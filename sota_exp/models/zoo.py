"""Networks by library (`small`, ours; `torchvision`; `timm`) and name, and their published weights."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import timm
import torchvision
from huggingface_hub import constants, get_session
from torch import nn
from torchvision.models import WeightsEnum

from sota_exp.errors import RunFailed, first_line
from sota_exp.models.network_names import list_networks
from sota_exp.models.small_nets import NAMES, build_small
from sota_exp.models.weight_files import hash_weights_with_use
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import PublishedWeights
from sota_exp.stages.stage import InvalidValue

# Both have auxiliary classifiers, and their published weights expect images in [-1, 1] instead of ImageNet's
# normalization.
AUXILIARY_CLASSIFIERS = ("googlenet", "inception_v3")

#: Seconds in which Hugging Face's hub should respond.
HUB_TIMEOUT_SECONDS = 5.0

#: What to do where the published weights of the network that is trained cannot be fetched.
OFFLINE = (
    "without a connection train from random weights, model/weights=scratch model/tuning=full, or give those of this "
    "network in a file: model/weights=checkpoint model.weights.path=FILE"
)


class NotDownloaded(RunFailed):
    """Published weights cannot be fetched."""


@contextmanager
def advised(advice: str) -> Iterator[None]:
    """While entered, weights that cannot be fetched are told with what to do instead.

    Raises:
        NotDownloaded: with what to do.
    """
    try:
        yield
    except NotDownloaded as error:
        raise NotDownloaded(f"{error}; {advice}") from error


def require_known(field: str, name: str, known: Iterable[str], kind: str) -> None:
    """Check that `name` is among `known`.

    Raises:
        InvalidValue: it is not; the message lists the nearest names. kind: what the names are names of, for the
        message.
    """
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise InvalidValue(
            field, name, f"a {kind}; near: {', '.join(near)}" if near else f"a {kind}, of which there are {len(known)}"
        )


def build_torchvision(name: str, num_classes: int) -> nn.Module:
    """An untrained network of torchvision, without auxiliary classifiers."""
    extra = {"aux_logits": False, "init_weights": True} if name in AUXILIARY_CLASSIFIERS else {}
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **extra)


def build_timm(name: str, num_classes: int, img_size: int | None) -> nn.Module:
    """An untrained network of timm; `img_size` in pixels, for networks built for one size.

    Raises:
        InvalidValue: `img_size` is given for a network that reads images of any size.
    """
    extra: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
    try:
        return timm.create_model(name, pretrained=False, num_classes=num_classes, **extra)
    except TypeError as error:
        if img_size is None or "img_size" not in str(error):
            raise
        raise InvalidValue("img_size", img_size, f"null: {name} reads images of any size") from error


def build_by_name(name: str, num_classes: int) -> nn.Module:
    """An untrained network by name: ours, else torchvision's, else timm's."""
    if name in NAMES:
        return build_small(name, num_classes, width_multiplier=1.0)
    if name in list_networks("torchvision"):
        return build_torchvision(name, num_classes)
    require_known("name", name, {*NAMES, *list_networks("torchvision"), *list_networks("timm")}, "network")
    return build_timm(name, num_classes, None)


def get_torchvision_weights(name: str, tag: str) -> WeightsEnum:
    """What torchvision knows of its published weights without fetching them; tag: "" for the default, the best.

    Raises:
        InvalidValue: there are no weights with this tag.
    """
    known = torchvision.models.get_model_weights(name)
    require_known("tag", tag or "DEFAULT", known.__members__, f"weight of {name}")
    return known[tag or "DEFAULT"]


def find_torchvision_preprocessing(name: str, tag: str) -> Preprocessing:
    """The preprocessing of torchvision's published weights.

    Raises:
        InvalidValue: there are no weights with this tag.
    """
    preset = get_torchvision_weights(name, tag).transforms()
    mean, std = tuple(preset.mean), tuple(preset.std)
    if name in AUXILIARY_CLASSIFIERS:
        mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    return Preprocessing(mean=mean, std=std, interpolation=preset.interpolation.value)


@lru_cache(maxsize=1)
def load_torchvision_weights(name: str, tag: str) -> PublishedWeights:
    """Torchvision's published weights; tag: "" for the default, which are the best.

    Raises:
        InvalidValue: there are no weights with this tag.
        NotDownloaded: the weights cannot be downloaded.
    """
    weights = get_torchvision_weights(name, tag)
    try:
        state = dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except OSError as error:
        raise NotDownloaded(
            f"cannot download the weights {tag or 'DEFAULT'} of torchvision's {name} ({error})"
        ) from error
    preset, preprocessing = weights.transforms(), find_torchvision_preprocessing(name, tag)
    if name in AUXILIARY_CLASSIFIERS:
        state = {key: value for key, value in state.items() if not key.lower().startswith("aux")}
    return PublishedWeights(
        state=state,
        preprocessing=preprocessing,
        content_hash=hash_weights_with_use(state, preprocessing, {}),
        evaluated_at=format_eval_sizes(preset.crop_size[0], preset.crop_size[0] / preset.resize_size[0]),
    )


def does_hub_respond() -> bool:
    """Whether Hugging Face's hub responds, with an error or without."""
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_SECONDS)
    except Exception:  # Whatever its HTTP client raises, which differs by version.
        return False
    return True


@contextmanager
def with_cache_alone(is_asked: bool) -> Iterator[None]:
    """Within it, if asked, Hugging Face's hub is its cache, which else would be looked at after a minute of retries."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or is_asked
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def name_timm_weights(name: str, tag: str) -> str:
    """timm's name of published weights, `resnet18.a1_in1k`; tag: "" for its default.

    Raises:
        InvalidValue: there are no weights with this tag.
    """
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}*") if known.partition(".")[0] == name]
    if not tags:
        raise InvalidValue("tag", tag, f"none: timm has no published weights of {name}")
    require_known("tag", tag or tags[0], tags, f"weight of {name}")
    return f"{name}.{tag}" if tag else name


def find_timm_preprocessing(name: str, tag: str) -> Preprocessing:
    """The preprocessing of timm's published weights.

    Raises:
        InvalidValue: there are no weights with this tag.
    """
    settings: Any = timm.get_pretrained_cfg(name_timm_weights(name, tag))
    return Preprocessing(mean=tuple(settings.mean), std=tuple(settings.std), interpolation=settings.interpolation)


@lru_cache(maxsize=1)
def load_timm_weights(name: str, tag: str, img_size: int | None) -> PublishedWeights:
    """timm's published weights; tag: "" for its default.

    Raises:
        InvalidValue: there are no weights with this tag.
        NotDownloaded: the weights cannot be downloaded.
    """
    full_name = name_timm_weights(name, tag)
    extra: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
    responds = does_hub_respond()
    try:
        with with_cache_alone(not responds):
            model = timm.create_model(full_name, pretrained=True, **extra)
    except (OSError, RuntimeError) as error:
        reason = first_line(error) if responds else f"{constants.ENDPOINT} does not respond"
        raise NotDownloaded(f"cannot download the weights {full_name} of timm ({reason})") from error
    settings: Any = model.pretrained_cfg
    state = model.state_dict()
    preprocessing = find_timm_preprocessing(name, tag)
    return PublishedWeights(
        state=state,
        preprocessing=preprocessing,
        content_hash=hash_weights_with_use(state, preprocessing, {}),
        evaluated_at=format_eval_sizes(settings["input_size"][-1], settings["crop_pct"]),
    )


def format_eval_sizes(size: int, crop_ratio: float) -> str:
    """How published weights were evaluated, written as overrides of this package."""
    return f"data.image_size={size} data.crop_ratio={crop_ratio:.4g}"
