"""What differs between runs, in numbers: choices, values, scores, costs, and how sure a difference is. Drawn elsewhere.

Runs that differ in nothing but their seed are one group; what is given of a group is its mean and spread over seeds.
"""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.config.fingerprint import PLACES
from sota_exp.config.hashing import digest
from sota_exp.config.values import leaves
from sota_exp.runs.find import Run
from sota_exp.statistics.paired import (
    Estimate,
    McNemar,
    accuracy_standard_error,
    mcnemar,
    mean_and_sd,
    paired_accuracy_difference,
    paired_difference,
)
from sota_exp.statistics.units import METRICS

#: What a run costs: name, and where a result has it.
COSTS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "training_seconds": lambda result: result["seconds"].get("train"),
    "images_per_second": lambda result: result.get("images_per_second"),
    "peak_memory_bytes": lambda result: result.get("peak_memory_bytes"),
    "parameters": lambda result: result.get("parameters"),
    "flops_per_image": lambda result: result.get("flops_per_image"),
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ in their seed alone, in the order of their seeds; named by a letter."""

    name: str
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def first(self) -> Run:
        return self.runs[0]

    def over(self, seeds: Sequence[int], value: Callable[[Run], Any]) -> list[Any]:
        return [value(run) for run in self.runs if run.seed in seeds]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number of a group: its mean over `n` seeds, their standard deviation, and for one accuracy its standard error."""

    mean: float
    sd: float | None
    standard_error: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Test accuracy of `second` minus `first`, paired by image and by seed.

    images: the interval over the draw of test images. seeds: the one over seeds, where two are common. mcnemar: for one run each.
    remark: what the intervals do and don't cover, or why there are none.
    """

    first: str
    second: str
    common_seeds: tuple[int, ...]
    images: Estimate | None
    seeds: Estimate | None
    mcnemar: McNemar | None
    remark: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Columns are groups: every list below has one entry a group, in order; None where a group lacks it."""

    groups: list[Group]
    choices: dict[str, list[str | None]]
    values: dict[str, list[Any]]
    metrics: dict[str, list[Cell | None]]
    costs: dict[str, list[Cell | None]]
    pairs: list[Pair]
    best: dict[str, set[int]]
    notes: list[str]
    environment: dict[str, list[str]]


def compare(runs: Sequence[Run], each: bool = False) -> Comparison:
    """Group the runs (with `each`, leave every run by itself) and collect what differs and what came out."""
    groups = grouped(runs, each)
    metrics = {name: [cell(group, _metric(name)) for group in groups] for name in [*METRICS, "best/epoch"]}
    choices = differing_choices([group.first for group in groups])
    return Comparison(
        groups=groups,
        choices=choices,
        values=differing_values([group.first for group in groups], choices, with_seed=each),
        metrics={name: cells for name, cells in metrics.items() if any(cells)},
        costs={name: [cell(group, _cost(read)) for group in groups] for name, read in COSTS.items()},
        pairs=pairs(groups),
        best={name: best(groups, name, metrics[name]) for name in METRICS},
        notes=notes(groups),
        environment=environment([run for group in groups for run in group.runs]),
    )


def grouped(runs: Sequence[Run], each: bool) -> list[Group]:
    """Complete runs that differ in their seed alone together; a second run of the same seed begins another group."""
    found: dict[str, list[Run]] = {}
    for run in dict.fromkeys(run.directory.resolve() for run in runs):
        one = next(item for item in runs if item.directory.resolve() == run)
        key = digest([one.is_evaluation, one.data_digest, _meant(one)]) if one.is_complete and not each else str(run)
        while any(other.seed == one.seed for other in found.get(key, [])):
            key += "+"
        found.setdefault(key, []).append(one)
    return [
        Group(name=letters(index), runs=tuple(sorted(members, key=lambda run: run.seed)))
        for index, members in enumerate(found.values())
    ]


def letters(index: int) -> str:
    """A to Z, then AA, AB…"""
    text, index = "", index + 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = string.ascii_uppercase[rest] + text
    return text


def _meant(run: Run) -> dict[str, Any]:
    """The configuration without its seed, and without what changes no number: what watches, and where files lie."""
    tree = {name: value for name, value in run.config.items() if name not in ("seed", "tracking")}
    return {**tree, "data": {name: value for name, value in tree["data"].items() if name not in PLACES}}


def differing_choices(runs: Sequence[Run]) -> dict[str, list[str | None]]:
    """The option of each run in every slot in which they differ; a preset that its slots tell is left out."""
    groups = list(dict.fromkeys(group for run in runs for group in reversed(run.choices)))
    presets = {group for group in groups if any(other.startswith(f"{group}/") for other in groups)}
    columns = {group: [run.choices.get(group) for run in runs] for group in groups if group not in presets}
    return {group: options for group, options in columns.items() if len(set(options)) > 1 and group != "tracking"}


def differing_values(
    runs: Sequence[Run], choices: dict[str, list[str | None]], with_seed: bool
) -> dict[str, list[Any]]:
    """The values that differ between runs that have the key; what only repeats the name of an option is left out."""
    trees = [leaves(_meant(run) | ({"seed": run.seed} if with_seed else {})) for run in runs]
    keys = dict.fromkeys(key for tree in trees for key in tree)
    named = tuple(f"{group}." for group in ("recipe", "scale") if group in choices)
    told = {f"{group}.name" for group in choices if "/" not in group}
    columns = {
        key: [tree.get(key) for tree in trees]
        for key in keys
        if not key.startswith(named) and not key.endswith(("_option_", "_target_")) and key not in told
    }
    return {key: values for key, values in columns.items() if _vary([tree[key] for tree in trees if key in tree])}


def _vary(values: Sequence[object]) -> bool:
    return any(value != values[0] for value in values)


def _metric(name: str) -> Callable[[Run], tuple[float | None, int | None]]:
    split = name.split("/")[0]
    is_share = name.endswith("accuracy")
    return lambda run: (
        run.metrics.get(name),
        run.result.get("evaluated_images", {}).get(split) if is_share else None,
    )


def _cost(read: Callable[[dict[str, Any]], float | None]) -> Callable[[Run], tuple[float | None, None]]:
    return lambda run: (read(run.result) if run.is_complete else None, None)


def cell(group: Group, read: Callable[[Run], tuple[float | None, int | None]]) -> Cell | None:
    """The mean of what `read` gives of each run: (value, number of images a share rests on)."""
    found = [(value, num) for value, num in map(read, group.runs) if value is not None]
    if not found:
        return None
    mean, sd = mean_and_sd([value for value, _ in found])
    num_images = found[0][1]
    error = accuracy_standard_error(mean, num_images) if num_images and len(found) == 1 else None
    return Cell(mean=mean, sd=sd, standard_error=error, n=len(found))


def best(groups: Sequence[Group], name: str, cells: Sequence[Cell | None]) -> set[int]:
    """The columns with the best mean, where all that have one were scored on the same images."""
    there = {index: found.mean for index, found in enumerate(cells) if found is not None}
    split = name.split("/")[0]
    runs = [groups[index].first for index in there]
    if len(there) < 2 or not all(same_images(runs[0], run, split) for run in runs):
        return set()
    top = max(there.values()) if METRICS[name] else min(there.values())
    return {index for index, mean in there.items() if mean == top} if len(set(there.values())) > 1 else set()


def same_images(one: Run, other: Run, split: str) -> bool:
    """Whether both were scored on the same images in the same order, by what they recorded of contents, classes and labels."""
    digests = {run.data_digest for run in (one, other)} - {None}
    first, second = one.labels(split), other.labels(split)
    if len(digests) > 1 or one.classes != other.classes or first is None or second is None:
        return False
    names = {run.config["data"].get("name") for run in (one, other)}
    return len(names) == 1 and np.array_equal(first, second)


def pairs(groups: Sequence[Group]) -> list[Pair]:
    """Every group against the first; every pair where there are no more than three."""
    scored = [group for group in groups if all(run.correct("test") is not None for run in group.runs)]
    against = scored if len(scored) <= 3 else scored[:1]
    return [pair(first, second) for index, first in enumerate(against) for second in scored[scored.index(first) + 1 :]]


def pair(first: Group, second: Group) -> Pair:
    """The difference over the seeds that both have; over all of each where they have none in common."""
    common = tuple(seed for seed in first.seeds if seed in second.seeds)
    if not same_images(first.first, second.first, "test"):
        remark = "not comparable: other test images or classes"
        return Pair(
            first=first.name,
            second=second.name,
            common_seeds=common,
            images=None,
            seeds=None,
            mcnemar=None,
            remark=remark,
        )
    before, after = (_correct(group, common or group.seeds) for group in (first, second))
    is_single = len(before) == len(after) == 1
    accuracies = [matrix.mean(axis=1) for matrix in (before, after)]
    return Pair(
        first=first.name,
        second=second.name,
        common_seeds=common,
        images=paired_accuracy_difference(before.mean(axis=0), after.mean(axis=0)),
        seeds=paired_difference(*accuracies) if len(common) > 1 else None,
        mcnemar=mcnemar(before[0], after[0]) if is_single else None,
        remark=_remark(first, second, common),
    )


def _correct(group: Group, seeds: Sequence[int]) -> NDArray[np.bool_]:
    """Correctness on the test images, bool [seeds, N]."""
    return np.stack(group.over(seeds, lambda run: run.correct("test")))


def _remark(first: Group, second: Group, common: tuple[int, ...]) -> str:
    if len(common) > 1:
        return f"paired over {len(common)} seeds"
    if len(common) == 1:
        return (
            "test-set noise only: one seed"
            if len(first.runs) == len(second.runs) == 1
            else (f"test-set noise only: one common seed, {common[0]}")
        )
    return "test-set noise only: no common seed, so the draw of the seed is in the difference"


def notes(groups: Sequence[Group]) -> list[str]:
    """What must be known to read the numbers."""
    found = []
    complete = [group for group in groups if group.first.is_complete]
    for group in complete[1:]:
        if reason := _other_data(complete[0].first, group.first):
            found.append(f"{group.name} and {complete[0].name}: accuracies are not comparable: {reason}")
    for run in (run for group in groups for run in group.runs):
        if not run.is_complete:
            found.append(f"{run.name} is {run.status}" + (f": {run.result['reason']}" if run.result else ""))
        if run.is_evaluation:
            found.append(f"{run.name} is an evaluation of {run.result['weights']}")
    return found


def _other_data(one: Run, other: Run) -> str | None:
    if one.classes != other.classes:
        return f"other classes ({len(other.classes)} and {len(one.classes)})"
    names = [str(run.config["data"].get("name")) for run in (other, one)]
    if names[0] != names[1]:
        return f"other images ({names[0]} and {names[1]})"
    return None if same_images(one, other, "test") else "other test images"


def environment(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Device, commit and versions that are not the same in all runs: each key with its values, a run each."""
    facts = [run.environment for run in runs]
    columns = {key: [fact.get(key, "unknown") for fact in facts] for key in dict.fromkeys(k for f in facts for k in f)}
    return {
        key: values for key, values in columns.items() if key != "data digest" and len(set(values) - {"unknown"}) > 1
    }
