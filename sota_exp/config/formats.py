"""What written files say of a configuration: options by their names, never modules of this package. And how older files are read.

Format 2 writes an option of ours as `_option_: mixup` beside its values. Format 1, which has no `format` in its files, wrote the
path of its class, `_target_: sota_exp.augmentation.mix.mixup.Mixup`. An option from a user's own package keeps its `_target_`.
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from sota_exp import CONF
from sota_exp.errors import ConfigError, first_line

#: Of the files of a run, a model, a study and a sweep. Raised when older code could not read what is written.
FORMAT = 2

#: Where format 1 says that an option lies, and where it lies now; the longest beginning counts.
MOVED: dict[str, str] = {
    "sota_exp.augmentation.": "sota_exp.techniques.augmentation.",
    "sota_exp.evaluation.": "sota_exp.techniques.evaluation.",
    "sota_exp.loss.": "sota_exp.techniques.loss.",
    "sota_exp.model.": "sota_exp.techniques.model.",
    "sota_exp.optimizer.": "sota_exp.techniques.optimizer.",
    "sota_exp.regularization.": "sota_exp.techniques.regularization.",
    "sota_exp.schedule.": "sota_exp.techniques.schedule.",
    "sota_exp.supervision.": "sota_exp.techniques.supervision.",
}

#: libyaml's, ten times as fast as Python's own, where it is there.
SAFE_LOADER: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = (
    yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
)

#: Where the options lie that do nothing; in format 1 it was one module.
NEUTRAL = "sota_exp.stages."


@functools.cache
def targets(slot: str) -> dict[str, str]:
    """Option → the path of the class it builds, for every option of ours in a slot."""
    found = {
        path.stem: re.search(r"^_target_: *(\S+)", path.read_text(), re.M) for path in (CONF / slot).glob("*.yaml")
    }
    return {name: target[1] for name, target in sorted(found.items()) if target}


def name_options(values: Any, choices: Mapping[str, str] | None = None, key: str = "") -> Any:
    """Nested values in which options of ours are named: `_option_: mixup` where a `_target_` names its class.

    choices: the option in every slot, where it is known: several options of a slot may build one class.
    """
    if not isinstance(values, Mapping):
        return values
    choices = choices or {}
    named = {
        str(name): name_options(value, choices, f"{key}/{name}".lstrip("/"))
        for name, value in values.items()
        if name != "_target_"
    }
    if "_target_" not in values:
        return named
    option = _option_of(key, str(values["_target_"]), choices.get(key) or str(values.get("name")))
    return {"_target_": values["_target_"], **named} if option is None else {"_option_": option, **named}


def _option_of(slot: str, target: str, probable: str) -> str | None:
    """The option of a slot that builds the class `target`, the `probable` one of several; None where no option of ours does."""
    if not target.startswith("sota_exp."):
        return None
    before = next((start for start in sorted(MOVED, key=len, reverse=True) if target.startswith(start)), "")
    now = MOVED.get(before, "") + target.removeprefix(before)
    known = targets(slot)
    if target.startswith(NEUTRAL) and now not in known.values():
        alike = [path for path in known.values() if path.startswith(NEUTRAL)]
        now = next((path for path in alike if path.rpartition(".")[2] == target.removeprefix(NEUTRAL)), now)
    fitting = [option for option, path in known.items() if path == now]
    return probable if probable in fitting else next(iter(fitting), None)


def typed_key(key: str) -> str:
    """A dotted key as a person types it: `augmentation/mix` for `augmentation.mix._option_`."""
    return key.removesuffix("._option_").replace(".", "/") if key.endswith("._option_") else key


def is_neutral(slot: str, option: str) -> bool:
    """Whether the option does nothing: its class is one of the neutral ones, which lie beside the stages."""
    return targets(slot).get(option, "").startswith(NEUTRAL)


def target_of(node: Mapping[str, Any], key: str) -> str | None:
    """The path of the class that an option's node means, by its name or by its own `_target_`; None where it has neither.

    Raises:
        ConfigError: the slot has no option of this name.
    """
    if "_option_" not in node:
        return str(node["_target_"]) if "_target_" in node else None
    slot, option = key.replace(".", "/"), node["_option_"]
    known = targets(slot)
    if option not in known:
        raise ConfigError(f"{slot}={option}: this version has no such option; legal: {', '.join(known)}")
    return known[option]


def read_config(path: Path) -> dict[str, Any]:
    """The values of a run's `config.yaml`, whatever version wrote it.

    Raises:
        ConfigError: a later version wrote it. OSError, ValueError: it can't be read, or is none.
    """
    try:
        found = yaml.load(path.read_text(), SAFE_LOADER)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {first_line(error)}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no configuration")
    values = {str(name): value for name, value in found.items() if name != "format"}
    return values if format_of(found, path) == FORMAT else cast(dict[str, Any], name_options(values))


def format_of(found: Mapping[str, Any], place: object) -> int:
    """The format of a file's content; 1 where it says none.

    Raises:
        ConfigError: this version doesn't read it.
    """
    number = found.get("format", 1)
    if number not in range(1, FORMAT + 1):
        raise ConfigError(
            f"{place} has format {number}; this version of sota-exp reads 1 to {FORMAT}: use the version that wrote it"
        )
    return int(number)
