"""What a group of the configuration has: options, keys with their legal values and defaults, slots; from the files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sota_exp import CONF
from sota_exp.config.build import describe_type
from sota_exp.config.formats import load_yaml
from sota_exp.config.hints import hint_at_own
from sota_exp.config.hydra_compose import list_config_groups
from sota_exp.config.source_types import ROOT, NotEvaluated, SourceClass, build_schema, read_fields
from sota_exp.config.values import (
    flatten,
    format_given_value,
    format_legal,
    format_override_value,
    format_suggestion,
)
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import get_legal_values

#: A line of the defaults list of a file: group, option, comment.
CHOICE = re.compile(r"^  - (?:override )?/?([\w/]+): (\S+)(?:\s+# (.*))?$", re.MULTILINE)

#: A key with its comment.
COMMENTED_KEY = re.compile(r"^( *)(\w+):.*?\s# (.*)$", re.MULTILINE)

#: An interpolation in a default → how it reads.
INTERPOLATIONS = {
    r"\$\{oc\.select:[\w.]+,(.+)\}": r"\1 or the recipe's",
    r"\$\{after_random_crops:(.+)\}": r"\1 or 1",
    r"\$\{oc\.env:(\w+)\}": r"$\1",
    r"\$\{oc\.env:(\w+),(.+)\}": r"$\1 or \2",
    r"\$\{([\w.]+)\}": r"that of \1",
}

#: Group → options that are not in its files, but of Hydra's plug-ins → what they are.
OPTIONS_OF_PLUGINS = {
    "hydra/launcher": {
        "basic": "one run after the other, in the process of the command (the default)",
        "joblib": "several at once on this machine (extra `joblib`): hydra.launcher.n_jobs=4",
        "submitit_local": "several at once on this machine, a new process for each (extra `slurm`)",
        "ray": "a Ray cluster, or one machine (extra `ray`)",
    }
}

#: Most options of a group that are described in full.
MOST_IN_FULL = 8

#: What files have beside the keys that a user sets.
NO_KEYS = ("_target_", "defaults", "kind", "title")

#: An entry of a defaults list: a file whose keys become those of the file with the list; group 2 is below its folder.
BASE = re.compile(r"^  - (?:([\w/]+)@_here_: )?(?!_self_)(\w+)$", re.MULTILINE)


def list_groups() -> dict[str, str]:
    """`group=option` → what the group is, of all groups of the configuration, with their default options."""
    found = CHOICE.findall((CONF / "config.yaml").read_text())
    return {f"{group}={option}": describe_slots(group, comment) for group, option, comment in found}


def describe_slots(group: str, comment: str) -> str:
    """The comment on a group, and the slots inside it."""
    slots = [slot.removeprefix(f"{group}/") for slot in list_slots(group)]
    return f"{comment}: {', '.join(slots)}" if slots and group != "data" else comment


def list_slots(group: str, own: Iterable[Path] = ()) -> list[str]:
    """The groups right below a group, those that the user's directories add included."""
    return [each for each in _list_groups_of(own) if each.rpartition("/")[0] == group]


def _list_groups_of(own: Iterable[Path]) -> list[str]:
    """All groups: of this package, and of the user's directories."""
    files = [(place, path) for place in own for path in place.rglob("*.yaml")]
    added = {path.parent.relative_to(place).as_posix() for place, path in files if path.parent != place}
    return sorted({*list_config_groups(), *added})


def _find_files(group: str, own: Iterable[Path]) -> dict[str, Path]:
    """Option → its file, of this package before the user's."""
    files = [path for place in (CONF, *own) for path in (place / group).glob("*.yaml")]
    return dict(sorted({path.stem: path for path in reversed(files)}.items()))


def describe_group(name: str, own: Sequence[Path] = ()) -> dict[str, dict[str, str]]:
    """Heading → name → what it is: the options of a group, their keys, and the slots in it.

    name: a group, with slashes or dots, a key in one, or `group=option` for one option alone. Of many options each is
    told in a clause, and their keys have no defaults. own: the user's directories.

    Raises:
        ConfigError: there is no such group.
    """
    group, _, chosen = name.partition("=")
    group = group.replace(".", "/").strip("/")
    groups = {*_list_groups_of(own), *(each.partition("/")[0] for each in _list_groups_of(own))}
    if group not in groups:
        named = [each for each in groups if each.rpartition("/")[2] == group]
        group = group.rpartition("/")[0] if "/" in group or len(named) != 1 else named[0]
    if group not in groups:
        raise ConfigError(f"{name}: no such group; --help lists them.{format_suggestion(name, groups)}")
    every = _find_files(group, own)
    files = {option: file for option, file in every.items() if chosen in ("", option)}
    if chosen and not files:
        raise ConfigError(f"{name}: no such option; {hint_at_own(format_legal(chosen, every), own)}")
    summaries = {option: read_summary(file) for option, file in files.items()}
    described, is_brief, beside = files, False, " and their defaults (with recipe=NAME: its values)"
    if len(files) > MOST_IN_FULL:
        width = 76 - max(map(len, files))
        summaries = {option: shorten_to_clause(text, width) for option, text in summaries.items()}
        described, is_brief, beside = files, True, f" (--help {group}=OPTION: those of one option, with defaults)"
        if shared := {base.stem: base for file in files.values() for base in list_bases(group, file)}:
            described, is_brief, beside = shared, False, f" and their defaults (--help {group}=OPTION: those of one)"
    slots = {slot: ", ".join(_find_files(slot, own)) for slot in list_slots(group, own)}
    return {
        f"options ({group}=OPTION)": summaries | ({} if chosen else OPTIONS_OF_PLUGINS.get(group, {})),
        f"keys of {group}{beside}": describe_keys(group, described, is_brief),
        f"techniques of {chosen}, by their names in study.only": describe_techniques(group, files) if chosen else {},
        f"slots of {group}, and their options": slots,
    }


def describe_values(name: str, presets: Sequence[str], own: Sequence[Path]) -> dict[str, dict[str, str]]:
    """The keys of a group with their values under presets, such as `recipe=photos`, under a heading that says so.

    Raises:
        ConfigError: they do not compose.
    """
    from sota_exp.config.overrides import compose_configuration

    group = name.partition("=")[0].replace(".", "/").strip("/")
    places = ",".join(format_override_value(f"file://{place}") for place in own)
    found = compose_configuration([*([f"hydra.searchpath=[{places}]"] if own else []), *presets])
    group = group if group in found.choices or group in found.values else group.rpartition("/")[0]
    prefix, values = group.replace("/", "."), flatten(found.values)
    rows = {
        key: format_given_value(value)
        for key, value in values.items()
        if key.startswith(f"{prefix}.") and not key.rpartition(".")[2].startswith("_")
    }
    return {f"with {' '.join(presets)}, {group}={found.choices.get(group, '…')}": rows}


def shorten_to_clause(text: str, width: int) -> str:
    """A text that fits, or its first clauses; the whole where these are short."""
    ends = [found.start() for found in re.finditer(r"(?<!…)[,;:](?= )", text) if width / 2 < found.start() <= width]
    return text[: ends[-1]] if ends and len(text) > width else text


def read_summary(file: Path) -> str:
    """The first sentence of the first comment of a file."""
    lines = [line.lstrip("# ") for line in file.read_text().splitlines() if line.startswith("#")]
    text = " ".join(line for line in lines if not line.startswith("@package"))
    return re.split(r"(?<=[\w)])[.!](?= |$)|(?<=\?)(?= |$)| Paper: ", text)[0]


def describe_keys(group: str, files: Mapping[str, Path], is_brief: bool) -> dict[str, str]:
    """Dotted key → default, legal values and what it is, of the keys that the options of a group have.

    is_brief: the legal values alone.
    """
    if group.startswith("study/"):  # Techniques are no keys.
        return {}
    defaults: dict[str, dict[str, list[str]]] = {}
    texts: dict[str, list[str]] = {}
    for option, file in [*files.items(), *([("", CONF / "config.yaml")] if group == "evaluation" else [])]:
        for name, (value, legal, comment) in _read_keys(group, file).items():
            defaults.setdefault(name, {}).setdefault(_format_default(value), []).append(option)
            texts.setdefault(name, [legal, *([] if is_brief else [comment])])
    prefix, num = group.replace("/", "."), len(files)
    return {
        f"{prefix}.{name}": "; ".join(filter(None, [*([] if is_brief else [_join_defaults(found, num)]), *texts[name]]))
        for name, found in defaults.items()
    }


def describe_techniques(group: str, files: Mapping[str, Path]) -> dict[str, str]:
    """Name → label, of the techniques of a study in the files of `study/techniques`; {} of other groups."""
    nodes = {name: node for file in files.values() for name, node in load_yaml(file.read_text()).items()}
    return {name: node.get("label", name) for name, node in nodes.items()} if group == "study/techniques" else {}


def list_bases(group: str, file: Path) -> list[Path]:
    """The files of this package whose keys an option has too, unless its own file sets them."""
    found = BASE.findall(file.read_text().partition("defaults:")[2])
    return [path for folder, name in found if (path := CONF / group / folder / f"{name}.yaml").is_file()]


def _read_keys(group: str, file: Path) -> dict[str, tuple[Any, str, str]]:
    """Key → (default, legal values, comment) of an option: of the files that it starts from, and of its own."""
    keys: dict[str, tuple[Any, str, str]] = {}
    for each in [*list_bases(group, file), file]:
        for name, value, legal, comment in _list_keys(group, each):
            _, *former = keys.get(name, (None, "", ""))
            keys[name] = (value, legal or former[0], comment or former[1])
    return keys


def _list_keys(group: str, file: Path) -> Iterator[tuple[str, Any, str, str]]:
    """(key, default, legal values, comment) of what a file sets in its group."""
    text = file.read_text()
    if "@package _global_" in text:
        return
    content = load_yaml(text)
    node = content[group] if file.name == "config.yaml" else content
    block = text[text.index(f"\n{group}:") :] if file.name == "config.yaml" else text
    comments = {(bool(indent), name): comment for indent, name, comment in COMMENTED_KEY.findall(block)}
    legal = _read_legal(group, node.get("_target_"))
    for key, value in flatten({name: node[name] for name in node if name not in NO_KEYS}).items():
        name = key.rpartition(".")[2]
        is_inside = "." in key or file.name == "config.yaml"
        if (name, value) != ("name", file.stem):
            yield key, value, legal.get(key, ""), comments.get((is_inside, name), "")


def _read_legal(group: str, target: str | None) -> dict[str, str]:
    """Key → its legal values, of the class of an option, or of a group without such."""
    try:
        module, _, name = (target or "").rpartition(".")
        cls = SourceClass(module, name) if target else read_fields(SourceClass(*ROOT)).get(group)
        fields = read_fields(cls) if isinstance(cls, SourceClass) else {}
    except (NotEvaluated, ImportError):  # the latter of a user's own class, in a package that is not here
        return {}
    plain = {key: kind for key, kind in fields.items() if kind is not Any and not isinstance(kind, SourceClass)}
    if not plain:
        return {}
    schema, types = build_schema(cls, tuple(plain))
    legal = get_legal_values(schema)
    return {key: legal[key].general_words if key in legal else describe_type(kind) for key, kind in types.items()}


def _format_default(value: object) -> str:
    if value == "???":
        return "needed"
    text = format_given_value(value) or "empty"
    for pattern, words in INTERPOLATIONS.items():
        text = re.sub(pattern, words, text)
    return text


def _join_defaults(found: Mapping[str, list[str]], num_options: int) -> str:
    """`0.2`, `8, 10 (few_images)` where most have one, or `0.1 (sgd, nesterov), 0.001 (adam)`, also if some lack it."""
    usual, options = max(found.items(), key=lambda item: len(item[1]))
    is_usual = options == [""] or (sum(map(len, found.values())) == num_options and len(options) > num_options / 2)
    first = {usual: usual} if is_usual else {}
    named = {value: f"{value} ({', '.join(options)})" for value, options in found.items()}
    return ", ".join((first | named | first).values())
