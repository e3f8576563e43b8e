"""Every key of the configuration with its default, its legal values and its meaning, read from conf/ and the classes.

Nothing is imported but the annotations' own names, so a page is built without PyTorch.
"""

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from sota_exp import CONF, PACKAGE
from sota_exp.config.catalog import CatalogOption, load_catalog
from sota_exp.config.formats import load_yaml
from sota_exp.config.source_types import NotEvaluated, SourceClass, read_fields
from sota_exp.stages.stage import Legal

PRUNERS = sorted(path.stem for path in (CONF / "hydra/sweeper/pruner").glob("*.yaml"))

#: Files of values, not of options: (file below conf/, prefix of their keys, class that has their types or "").
VALUE_FILES = (
    ("config.yaml", "", "Experiment"),
    ("recipe/small_images.yaml", "", "Experiment"),
    ("scale/quick.yaml", "scale", "ScaleSettings"),
    ("runtime/plain.yaml", "runtime", "RuntimeSettings"),
    ("study/settings/standard.yaml", "study", ""),
    ("hydra/sweeper/sota_exp.yaml", "hydra.sweeper", ""),
    ("hydra/sweeper/sampler/tpe.yaml", "hydra.sweeper.sampler", ""),
    *((f"hydra/sweeper/pruner/{name}.yaml", "hydra.sweeper.pruner", "") for name in PRUNERS),
    ("hydra/launcher/slurm.yaml", "hydra.launcher", ""),
)

SIMPLE = {bool: "true, false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key, its default, its legal values and its meaning, in words; `options`: the options that have it."""

    name: str
    default: str
    legal: str
    meaning: str
    options: tuple[str, ...] = ()


def describe_type(kind: Any) -> str:
    """The legal values of an annotation, in words; "" where it says nothing."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        words = [item.general_words for item in kind.__metadata__ if isinstance(item, Legal)]
        return ", ".join(words) or describe_type(inner[0])
    if origin in (Union, types.UnionType):
        return ", or ".join(filter(None, map(describe_type, inner)))
    if origin in (list, tuple):
        return f"a list of: {describe_type(inner[0])}"
    return SIMPLE.get(kind, "")


def read_comments(text: str) -> dict[str, str]:
    """Dotted key → the comment beside it and below it, of a YAML file."""
    found: dict[str, str] = {}
    place: list[tuple[int, str]] = []
    for line in text.splitlines():
        key = re.match(r"( *)([\w/]+):", line)
        comment = re.search(r"(?:^|\s)# ?(.*)", line)
        if key:
            place = [*(each for each in place if each[0] < len(key[1])), (len(key[1]), key[2])]
        if comment and place and (key or line.startswith(" ")):
            name = ".".join(each for _, each in place)
            found[name] = f"{found.get(name, '')} {comment[1]}".strip()
    return found


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf; a mapping without keys is a leaf."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def format_default(value: Any) -> str:
    """A default as it is written in an override."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(format_default, value))}]"
    return {"???": "must be given"}.get(str(value), str(value))


def read_option(option: CatalogOption) -> list[Key]:
    """The keys of an option."""
    module, _, name = option.target.rpartition(".")
    try:
        kinds = read_fields(SourceClass(module, name))
    except NotEvaluated:
        kinds = {}
    comments = read_comments((CONF / option.group / f"{option.name}.yaml").read_text())
    prefix = option.group.replace("/", ".")
    return [
        Key(
            name=f"{prefix}.{key}",
            default=format_default(value),
            legal=describe_type(kinds.get(key)),
            meaning=comments.get(key, ""),
            options=(option.name,),
        )
        for key, value in option.defaults.items()
    ]


def merge(keys: list[Key]) -> list[Key]:
    """Keys of several options of a slot, those that are alike in one row."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for key in keys:
        rows.setdefault((key.name, key.default, key.legal, key.meaning), []).extend(key.options)
    return [
        Key(name=name, default=default, legal=legal, meaning=meaning, options=tuple(options))
        for (name, default, legal, meaning), options in sorted(rows.items(), key=lambda row: row[0][0])
    ]


def read_values(file: str, prefix: str, cls: str) -> list[Key]:
    """The keys that a file of values sets."""
    text = (CONF / file).read_text()
    values = {name: value for name, value in load_yaml(text).items() if name not in ("defaults", "hydra", "_target_")}
    kinds = read_class(cls) if cls else {}
    comments = read_comments(text)
    return [
        Key(
            name=f"{prefix}.{key}".lstrip("."),
            default=format_default(value),
            legal=describe_type(kinds.get(key)),
            meaning=comments.get(key, ""),
        )
        for key, value in flatten(values)
    ]


def read_class(name: str) -> dict[str, Any]:
    """Dotted key → annotation, of a group of values of the experiment and of the groups in it."""
    found: dict[str, Any] = {}
    for key, kind in read_fields(SourceClass("sota_exp.config.experiment", name)).items():
        if isinstance(kind, SourceClass) and kind.module == "sota_exp.config.experiment":
            found |= {f"{key}.{inner}": inside for inner, inside in read_class(kind.name).items()}
        else:
            found[key] = kind
    return found


def read_slots() -> dict[str, list[CatalogOption]]:
    """Slot → its options."""
    found: dict[str, list[CatalogOption]] = {}
    for option in load_catalog(CONF, PACKAGE):
        found.setdefault(option.group, []).append(option)
    return found


def read_header(path: Path) -> list[str]:
    """The comment lines at the head of a file of conf/, without `@package`."""
    lines = path.read_text().splitlines()
    head = [line.lstrip("# ") for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]]
    return [line for line in head if not line.startswith("@package")]
