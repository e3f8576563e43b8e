"""Which keys of a configuration `sota-exp evaluate` can use, and which it must be given."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sota_exp.cli.saved_model_argument import SavedWeights
from sota_exp.config.values import get_override_key
from sota_exp.errors import ConfigError
from sota_exp.models.model_json import TRANSFORM_SLOTS, read_description

#: Keys of training, and groups of such, of which an evaluation uses none but those below.
TRAINING_KEYS = (
    *("augmentation", "batch_size", "evaluation.select", "experiment", "loss", "model", "optimizer", "recipe"),
    *("regularization", "schedule", "seed", "supervision"),
)

#: Those that describe the network of weights alone.
NETWORK_KEYS = (
    *("experiment", "model.arch", "model.weights.entry", "model.weights.mean", "model.weights.prefix"),
    *("model.weights.std", "recipe", *(f"regularization.{slot}" for slot in TRANSFORM_SLOTS)),
)

#: Options of the same that are groups of options, and may be chosen as a whole.
NETWORK_GROUPS = ("model", "regularization")


def require_usable_keys(found: SavedWeights, overrides: Iterable[str]) -> None:
    """Check that an evaluation of the weights uses each key that the command sets.

    Raises:
        ConfigError: it does not, so that its files would say what is not so.
    """
    keys = {override: get_override_key(override).replace("/", ".") for override in overrides}
    usable = set(NETWORK_KEYS) if found.description is None else set()
    if any(_is_below(key, "evaluation.fine_tune") for key in keys.values()):
        usable.add("seed")
    for override, key in keys.items():
        is_network_group = found.description is None and key in NETWORK_GROUPS
        if any(_is_below(key, node) for node in usable) or is_network_group:
            continue
        if any(_is_below(key, node) for node in TRAINING_KEYS):
            legal = "data, evaluation, runtime, scale and tracking"
            if found.description is None:
                legal += f", model/arch, {', '.join(sorted(usable - {'model.arch'}))}"
            if found.configuration is not None:
                legal += f"; sota-exp rerun {found.weights.parent} {override} trains with it"
            seed = " without evaluation/fine_tune" * (key == "seed")
            raise ConfigError(f"{override}: evaluate trains nothing and does not use this key{seed}; legal: {legal}")


def require_normalization(weights: Path, given: dict[str, Any]) -> None:
    """Check that mean and std of the training are known of weights alone: those of the scored images are others.

    given: the values of `model.weights`.

    Raises:
        ConfigError: one of them is neither given nor in a `model.json` beside the weights.
    """
    beside = weights.with_name("model.json")
    known = (read_description(beside) or {}).get("preprocessing", {}) if beside.is_file() else {}
    if missing := [name for name in ("mean", "std") if given[name] is None and name not in known]:
        raise ConfigError(
            f"model.weights.{missing[0]}: {weights.name} does not say which mean and std normalized its images;"
            " give those of its training, such as ImageNet's of most published weights: "
            "model.weights.mean=[0.485,0.456,0.406] model.weights.std=[0.229,0.224,0.225]"
        )


def _is_below(key: str, node: str) -> bool:
    return f"{key}.".startswith(f"{node}.")
