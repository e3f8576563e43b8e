"""The trainings that a study saved: shared by arms, after a verdict, of techniques that are not followed."""

import numpy as np

from sota_exp.report.numbers import format_duration
from sota_exp.statistics.interim import InterimResult
from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import find_trainings
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns

#: Reason → its words after a number of trainings.
WORDS = {
    "shared": "shared by arms that differ in evaluation alone",
    "decided": "of arms that had their verdict",
    "not_followed": "of techniques that are not followed",
    "screening": "by the cells of stage 1",
}


def build_saved(study: PlannedStudy, runs: StudyRuns, test: InterimResult, wanted: dict[str, set[int]]) -> JsonObject:
    """The entry `saved` of `study.json`, against training each arm with each seed. wanted: by `find_wanted_seeds`."""
    groups: dict[str, list[ComposedArm]] = {}
    for arm in study.arms.ready:
        groups.setdefault(arm.training_key, []).append(arm)
    undecided = [arm for arm in study.compared if arm.name not in test.decided]
    are_open = {name for arm in undecided for name in (arm.name, arm.arm.reference)}
    counts, seconds = {"shared": 0, "decided": 0}, 0.0
    for arms in groups.values():
        trained, *others = [runs.results[arm.name] for arm in arms]
        copies = [trained[seed] for other in others for seed in other if seed in trained]
        counts["shared"] += len(copies)
        seconds += sum(result["seconds"].get(part, 0.0) for result in copies for part in ("train", "validate"))
        if not are_open & {arm.name for arm in arms}:
            used = set[int]().union(trained, *(wanted[arm.name] for arm in arms))
            left = len(set(study.seeds) - used)
            counts["decided"] += left
            seconds += left * compute_mean_seconds(list(trained.values()))
    return describe_saved(counts, seconds)


def add_stages(saved: JsonObject, cells: list[JsonObject], trained: list[JsonObject], num_left: int) -> JsonObject:
    """The same of a study of two stages. cells, trained: results of both stages. num_left: trainings not followed."""
    counts = saved["trainings"] | {"not_followed": num_left, "screening": -len(cells)}
    more = num_left * compute_mean_seconds(trained or cells) - len(cells) * compute_mean_seconds(cells)
    return describe_saved(counts, saved["cost"]["seconds"] + more)


def describe_saved(counts: dict[str, int], seconds: float) -> JsonObject:
    """The entry, with its times, and the sentence that has them, under `cost`; no words where nothing is saved."""
    parts = [f"{num} {WORDS[reason]}" for reason, num in counts.items() if num]
    time = f"{'-' if seconds < 0 else ''}{format_duration(abs(seconds))}"
    words = f"Trainings saved: {sum(counts.values())} ({', '.join(parts)}); about {time} of computing."
    words = words.replace("-", "−") if parts else ""
    return {"trainings": counts, "cost": {"seconds": seconds, "words": words}}


def compute_mean_seconds(results: list[JsonObject]) -> float:
    """The mean seconds of runs from their beginning to their result; 0 without runs."""
    return float(np.mean([sum(result["seconds"].values()) for result in results])) if results else 0.0


def count_trainings(study: PlannedStudy) -> int:
    """The number of different trainings with one seed."""
    return len(find_trainings(study.arms))
