"""Runs grouped by configuration, and the choices and values in which groups differ."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from sota_exp.config.fingerprint import DATA_LOCATION_KEYS
from sota_exp.config.formats import is_neutral_option
from sota_exp.config.hashing import compute_digest
from sota_exp.config.split_of_seed import get_split
from sota_exp.config.values import find_presets, flatten
from sota_exp.report.numbers import format_yaml_value
from sota_exp.runs.find import SavedRun

#: Most options and values in the name of a group.
MOST_IN_NAME = 3


@dataclass(frozen=True, kw_only=True)
class SeedGroup:
    """Runs that differ only in their seed, or in their fold, in the order of their seeds.

    name: a letter, or on a page what tells the group from the others.
    """

    name: str
    runs: tuple[SavedRun, ...]

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def first(self) -> SavedRun:
        return self.runs[0]

    def collect_values(self, seeds: Sequence[int], value: Callable[[SavedRun], Any]) -> list[Any]:
        return [value(run) for run in self.runs if run.seed in seeds]


def group_runs(runs: Sequence[SavedRun], each: bool) -> list[SeedGroup]:
    """One group for complete runs that differ only in seed and fold; a second run of a seed begins another group.

    Their names are A to Z, then AA, AB…
    """
    unique: dict[Path, SavedRun] = {}
    for run in runs:
        unique.setdefault(run.directory.resolve(), run)
    found: dict[tuple[str, int], list[SavedRun]] = {}
    num_equal: Counter[tuple[str, int]] = Counter()
    for path, run in unique.items():
        key = str(path)
        if run.is_complete and not each:
            key = compute_digest([run.is_evaluation, _identify_images(run), _read_config_without_seed(run)])
        found.setdefault((key, num_equal[key, run.seed]), []).append(run)
        num_equal[key, run.seed] += 1
    names = (
        "".join(letters) for num in itertools.count(1) for letters in itertools.product(ascii_uppercase, repeat=num)
    )
    return [
        SeedGroup(name=name, runs=tuple(sorted(members, key=lambda run: run.seed)))
        for name, members in zip(names, found.values(), strict=False)
    ]


def name_groups(
    groups: Sequence[SeedGroup], choices: dict[str, list[str | None]], values: dict[str, list[Any]]
) -> list[SeedGroup]:
    """The groups named by the options in which they differ, such as `mix=mixup`, else by the values, else by a run.

    choices, values: those that differ, by slot and dotted key, one per group.
    """
    rounded = {
        key: [f"{each:.4g}" if isinstance(each, float) else each for each in found] for key, found in values.items()
    }
    for columns in (choices, choices | rounded, choices | values):
        pairs = [(re.split("[./]", key)[-1], found) for key, found in columns.items()][:MOST_IN_NAME]
        names = [
            ", ".join(f"{key}={format_yaml_value(found[at])}" for key, found in pairs) for at in range(len(groups))
        ]
        if pairs and len(set(names)) == len(groups):
            break
    else:
        places = [group.first.name for group in groups]
        start = os.path.commonpath(places) if len(places) > 1 else "."
        names = [os.path.relpath(place, start) for place in places]
    return [replace(group, name=name) for group, name in zip(groups, names, strict=True)]


def _identify_images(run: SavedRun) -> list[Any]:
    """What tells the images of a run from those of others: its data; of an evaluation what it scored, or the place."""
    if not run.is_evaluation:
        return [run.data_digest]
    return [run.result.get("image_digests") or {key: run.config["data"].get(key) for key in DATA_LOCATION_KEYS}]


def _read_config_without_seed(run: SavedRun) -> dict[str, Any]:
    """The configuration without its seed, its fold, and without tracking and paths, which change no number."""
    tree = {name: value for name, value in run.config.items() if name not in ("seed", "tracking")}
    data = {name: value for name, value in tree["data"].items() if name not in DATA_LOCATION_KEYS}
    split = {key: value for key, value in get_split(run.config).items() if key not in ("repeats", "repeat", "fold")}
    # Runs of older versions say nothing of holdout, which all of them have.
    return {**tree, "data": data | {"split": split or {"_option_": "holdout"}}}


def find_differing_choices(runs: Sequence[SavedRun]) -> dict[str, list[str | None]]:
    """By slot in which the runs differ, the option of each run; presets are left out if their slots are there."""
    groups = list(dict.fromkeys(group for run in runs for group in reversed(run.choices)))
    presets = find_presets(groups)
    columns = {group: [run.choices.get(group) for run in runs] for group in groups if group not in presets}
    differing = {group: options for group, options in columns.items() if len(set(options)) > 1 and group != "tracking"}
    # A run of before a slot was added is the same as one with its neutral option.
    return {
        group: options
        for group, options in differing.items()
        if not all(option is None or is_neutral_option(group, option) for option in options)
    }


def find_differing_values(
    runs: Sequence[SavedRun], choices: dict[str, list[str | None]], with_seed: bool
) -> dict[str, list[Any]]:
    """By dotted key, values that differ between the runs with that key; names of options are left out."""
    trees = [flatten(_read_config_without_seed(run) | ({"seed": run.seed} if with_seed else {})) for run in runs]
    keys = dict.fromkeys(key for tree in trees for key in tree)
    named = tuple(f"{group}." for group in ("recipe", "scale") if group in choices)
    option_names = {f"{group}.name" for group in choices if "/" not in group}
    columns = {
        key: [tree.get(key) for tree in trees]
        for key in keys
        if not key.startswith(named) and not key.endswith(("_option_", "_target_")) and key not in option_names
    }
    known = {key: [tree[key] for tree in trees if key in tree] for key in columns}
    return {key: columns[key] for key, found in known.items() if any(value != found[0] for value in found)}
