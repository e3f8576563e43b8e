"""A comparison of runs as numbers: scores, costs, paired differences, and what restricts their meaning.

Runs that differ only in their seed are one group; a group has the mean and standard deviation over its seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sota_exp.config.data_paths import name_data
from sota_exp.report.comparison.groups import (
    SeedGroup,
    find_differing_choices,
    find_differing_values,
    group_runs,
    name_groups,
)
from sota_exp.report.comparison.next_steps import list_next_steps
from sota_exp.report.comparison.pairs import GroupDifference, compare_groups, explain_other_images, find_compared_part
from sota_exp.runs.find import SavedRun
from sota_exp.runs.scored_images import get_independent_images
from sota_exp.statistics.paired import compute_mean_and_sd
from sota_exp.statistics.proportion import wilson_interval
from sota_exp.statistics.units import HIGHER_IS_BETTER, find_direction, is_share_of_images

#: The costs of a run that are compared, by their keys in `result.json`, beside the seconds of training.
COSTS = ("images_per_second", "peak_memory_bytes", "parameters", "flops_per_image")


@dataclass(frozen=True, kw_only=True)
class SeedStatistics:
    """A number of a group: mean and standard deviation over `n` seeds; for one accuracy its interval over images."""

    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Every list has one entry per group, in order; None if the group has no such value.

    part: that of the data on which `pairs` compare accuracies. next: what would decide the open ones, in sentences.
    """

    groups: list[SeedGroup]
    choices: dict[str, list[str | None]]
    values: dict[str, list[Any]]
    metrics: dict[str, list[SeedStatistics | None]]
    costs: dict[str, list[SeedStatistics | None]]
    pairs: list[GroupDifference]
    part: str
    best: dict[str, set[int]]
    next: list[str]
    notes: list[str]
    environment: dict[str, list[str]]


def compare_runs(runs: Sequence[SavedRun], each: bool = False, has_names: bool = False) -> RunComparison:
    """Group the runs (with `each`, every run is a group of its own) and collect differences and results.

    has_names: groups are named by what they differ in, instead of by letters.
    """
    groups = group_runs(runs, each)
    choices = find_differing_choices([group.first for group in groups])
    values = find_differing_values([group.first for group in groups], choices, with_seed=each)
    if has_names:
        groups = name_groups(groups, choices, values)
    part = find_compared_part(groups)
    measured = {name for run in runs for name in run.metrics if name.partition("/")[0] in run.scored_parts}
    names = [*HIGHER_IS_BETTER, *sorted(measured - {*HIGHER_IS_BETTER}), "best/epoch"]
    metrics = {name: [summarize_metric(group, name) for group in groups] for name in names}
    pairs = compare_groups(groups, part)
    return RunComparison(
        groups=groups,
        choices=choices,
        values=values,
        metrics={name: cells for name, cells in metrics.items() if any(cells)},
        costs=summarize_costs(groups),
        pairs=pairs,
        part=part,
        best={name: find_best(groups, name, metrics[name]) for name in names if find_direction(name) is not None},
        next=list_next_steps(groups, pairs, part),
        notes=collect_notes(groups),
        environment=find_environment_differences([run for group in groups for run in group.runs]),
    )


def summarize_costs(groups: Sequence[SeedGroup]) -> dict[str, list[SeedStatistics | None]]:
    results = [[run.result for run in group.runs if run.is_complete] for group in groups]
    seconds = [summarize([result["seconds"].get("train") for result in found]) for found in results]
    others = {name: [summarize([result.get(name) for result in found]) for found in results] for name in COSTS}
    return {"training_seconds": seconds, **others}


def summarize_metric(group: SeedGroup, name: str) -> SeedStatistics | None:
    """A metric over the seeds of a group; of one run, with its interval over images if it is a share of them."""
    found = summarize([run.metrics.get(name) for run in group.runs])
    part, result = name.partition("/")[0], group.first.result
    if found is None or found.n > 1 or not (result.get("evaluated_images", {}).get(part) and is_share_of_images(name)):
        return found
    return replace(found, interval=wilson_interval(found.mean, get_independent_images(result, part)))


def summarize(values: Sequence[float | None]) -> SeedStatistics | None:
    """Mean and spread of those that are known."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    mean, sd = compute_mean_and_sd(found)
    return SeedStatistics(mean=mean, sd=sd, interval=None, n=len(found))


def find_best(groups: Sequence[SeedGroup], name: str, cells: Sequence[SeedStatistics | None]) -> set[int]:
    """Indices of the groups with the best mean; empty unless all were evaluated on the same images."""
    there = {index: found.mean for index, found in enumerate(cells) if found is not None}
    split = name.split("/")[0]
    runs = [groups[index].first for index in there]
    if len(there) < 2 or any(explain_other_images(runs[0], run, split) for run in runs):
        return set()
    top = max(there.values()) if find_direction(name) else min(there.values())
    return {index for index, mean in there.items() if mean == top} if len(set(there.values())) > 1 else set()


def collect_notes(groups: Sequence[SeedGroup]) -> list[str]:
    """What a reader must know about the numbers: other data, incomplete runs, evaluations."""
    found = []
    complete = [group for group in groups if group.first.is_complete]
    for group in complete[1:]:
        if reason := _explain_other_data(complete[0].first, group.first):
            found.append(f"{group.name} and {complete[0].name}: accuracies are not comparable: {reason}")
    for run in (run for group in groups for run in group.runs):
        if not run.is_complete:
            found.append(f"{run.name} is {run.status}" + (f": {run.result['reason']}" if run.result else ""))
        if run.lacks_predictions:
            found.append(
                f"{run.name}: predictions.npz is missing, so it has no difference paired by image, and no best value"
            )
        if run.is_evaluation:
            found.append(f"{run.name} is an evaluation of {run.result['weights']}")
    return found


def _explain_other_data(one: SavedRun, other: SavedRun) -> str | None:
    """Why scores of the two, on test or else on the first part that both scored, are not of the same images."""
    shared = [part for part in ("test", *one.scored_parts) if part in one.scored_parts and part in other.scored_parts]
    if not shared:
        return f"other parts of the data ({' and '.join(other.scored_parts)}; {' and '.join(one.scored_parts)})"
    names = [name_data(run.config["data"]) for run in (other, one)]
    reason = explain_other_images(one, other, shared[0])
    is_other_set = names[0] != names[1] and reason == f"other {shared[0]} images"
    return f"other images ({names[0]} and {names[1]})" if is_other_set else reason


def find_environment_differences(runs: Sequence[SavedRun]) -> dict[str, list[str]]:
    """Device, commit and versions that differ between runs: by key, one value per run."""
    facts = [run.environment for run in runs]
    columns = {key: [fact.get(key, "unknown") for fact in facts] for key in dict.fromkeys(k for f in facts for k in f)}
    return {
        key: values for key, values in columns.items() if key != "data digest" and len(set(values) - {"unknown"}) > 1
    }
