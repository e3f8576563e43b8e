"""The format of configurations in files, and how older formats are read. Files name options, not modules.

Format 2 writes an option of this package as `_option_: mixup` beside its values. Format 1, whose files have no key
`format`, wrote the path of its class: `_target_: sota_exp.augmentation.mix.mixup.Mixup`. Options of other packages keep
their `_target_`. Up to format 2, results and metrics counted epochs from 0, since format 3 from 1.
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from sota_exp import CONF
from sota_exp.config.values import format_given_value
from sota_exp.errors import ConfigError, first_line

#: Version of the files of a run, model, study or sweep. Increased when older code could not read new files.
FILE_FORMAT = 3

#: Prefix of a path in format 1 → prefix now; the longest prefix that matches counts.
MOVED_PREFIXES = {
    f"sota_exp.{group}.": f"sota_exp.techniques.{group}."
    for group in [
        "augmentation",
        "evaluation",
        "loss",
        "model",
        "optimizer",
        "regularization",
        "schedule",
        "supervision",
    ]
} | {
    "sota_exp.stages.AsTrained": "sota_exp.stages.evaluation.NoFineTuning",
    "sota_exp.stages.OneBatch": "sota_exp.stages.optimizer.NoAccumulation",
}

#: libyaml's loader where it is available: ten times as fast as Python's own.
SAFE_LOADER: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = (
    yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
)

#: Most values of a YAML file; of a configuration's a list of classes is the longest.
MOST_VALUES = 1_000_000

#: Prefix of the classes of neutral options, which do nothing; in format 1 they were in one module.
NEUTRAL_PREFIX = "sota_exp.stages."


@functools.cache
def get_option_targets(slot: str) -> dict[str, str]:
    """Option → path of its class, for all options of this package in a slot."""
    found = {
        path.stem: re.search(r"^_target_: *(\S+)", path.read_text(), re.M) for path in (CONF / slot).glob("*.yaml")
    }
    return {name: target[1] for name, target in sorted(found.items()) if target}


def targets_to_option_names(values: Any, choices: Mapping[str, str] | None = None, key: str = "") -> Any:
    """Replace each `_target_` of this package in nested values by the name of the option, such as `_option_: mixup`.

    choices: slot → option, where known. It decides where several options of a slot have the same class.
    """
    if not isinstance(values, Mapping):
        return values
    choices = choices or {}
    named = {
        str(name): targets_to_option_names(value, choices, f"{key}/{name}".lstrip("/"))
        for name, value in values.items()
        if name != "_target_"
    }
    if "_target_" not in values:
        return named
    option = _option_of(key, str(values["_target_"]), choices.get(key) or str(values.get("name")))
    return {"_target_": values["_target_"], **named} if option is None else {"_option_": option, **named}


def _option_of(slot: str, target: str, probable: str) -> str | None:
    """The option of `slot` with class `target`, `probable` if several have it; None for a class of a user."""
    if not target.startswith("sota_exp."):
        return None
    before = next((start for start in sorted(MOVED_PREFIXES, key=len, reverse=True) if target.startswith(start)), "")
    now = MOVED_PREFIXES.get(before, "") + target.removeprefix(before)
    known = get_option_targets(slot)
    if target.startswith(NEUTRAL_PREFIX) and now not in known.values():
        alike = [path for path in known.values() if path.startswith(NEUTRAL_PREFIX)]
        now = next((path for path in alike if path.rpartition(".")[2] == target.removeprefix(NEUTRAL_PREFIX)), now)
    # Classes of techniques have got other names since format 1; the module says which option it is.
    is_technique = before and not before.startswith(NEUTRAL_PREFIX)
    module = now.rpartition(".")[0]
    fitting = [name for name, path in known.items() if path == now or (is_technique and path.startswith(f"{module}."))]
    return probable if probable in fitting else next(iter(fitting), None)


def key_to_command_line(key: str) -> str:
    """A dotted key as it is typed on the command line: `augmentation/mix` for `augmentation.mix._option_`."""
    return key.removesuffix("._option_").replace(".", "/") if key.endswith("._option_") else key


def is_neutral_option(slot: str, option: str) -> bool:
    """Whether the option does nothing: its class is in `sota_exp.stages`."""
    return get_option_targets(slot).get(option, "").startswith(NEUTRAL_PREFIX)


def get_target(node: Mapping[str, Any], key: str) -> str | None:
    """The path of the class of an option's node, from `_option_` or `_target_`; None if it has neither.

    Raises:
        ConfigError: the slot has no option of this name.
    """
    if "_option_" not in node:
        return str(node["_target_"]) if "_target_" in node else None
    slot, option = key.replace(".", "/"), str(node["_option_"])
    known = get_option_targets(slot)
    if option not in known:
        raise ConfigError(
            f"{slot}={format_given_value(option)}: this version has no such option; legal: {', '.join(known)}"
        )
    return known[option]


def read_config(path: Path) -> dict[str, Any]:
    """The values of a run's `config.yaml`, of any format up to this version's.

    Raises:
        ConfigError: a later version wrote it.
        OSError: the file cannot be read.
        ValueError: it contains no YAML, or no configuration.
    """
    try:
        text = path.read_text()
        # libyaml reads no bytes that are not UTF-8, as names of folders may have.
        found = load_yaml(text, yaml.SafeLoader if re.search(r"\\uDC[89A-F]", text) else SAFE_LOADER)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is not valid YAML: {first_line(error)}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} contains no configuration")
    values = {str(name): value for name, value in found.items() if name != "format"}
    return values if get_format(found, path) > 1 else cast(dict[str, Any], targets_to_option_names(values))


def load_yaml(text: str, loader: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = SAFE_LOADER) -> Any:
    """The content of a YAML text, of which aliases may make at most `MOST_VALUES` values.

    Raises:
        yaml.YAMLError: it is no YAML, or has more values.
    """
    found = yaml.load(text, loader)
    rest, num = [found], 0
    while rest:
        node = rest.pop()
        num += 1
        if num > MOST_VALUES:
            raise yaml.YAMLError(f"it has more than {MOST_VALUES:,} values, because aliases repeat them")
        rest += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return found


def get_format(found: object, place: object) -> int:
    """The format of a file's content; 1 where the key is missing.

    Raises:
        ConfigError: this version cannot read the format.
    """
    number = found.get("format", 1) if isinstance(found, Mapping) else 1
    if number not in range(1, FILE_FORMAT + 1):
        raise ConfigError(
            f"{place} has format {number}; this version of sota-exp reads 1 to {FILE_FORMAT}: "
            "use the version that wrote it"
        )
    return int(number)


def require_current_format(files: Iterable[Path], directory: Path, what: str, command: str) -> None:
    """Refuse to continue a study or sweep of an older version, whose runs are named by other hashes.

    files: those that say the format, where they exist.

    Raises:
        ConfigError: an older version wrote one of them.
    """
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text()
        found = json.loads(text) if path.suffix == ".json" else yaml.load(text, SAFE_LOADER)
        if get_format(found, path) < FILE_FORMAT:
            raise ConfigError(
                f"hydra.sweep.dir={directory} holds a {what} that an older version of sota-exp made: report can read "
                f"it, {command} cannot continue it. Choose another directory, or remove this one"
            )
