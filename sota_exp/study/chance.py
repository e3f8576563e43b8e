"""Whether the networks of a study have learned more than a classifier that always names the most frequent class."""

from collections.abc import Sequence

from sota_exp.report.numbers import format_count, join_with_and
from sota_exp.runs.chance import compute_chance_accuracy, compute_chance_limit
from sota_exp.statistics.units import SHARE_FORMAT
from sota_exp.study.results import PlannedStudy, StudyRuns

NOTHING_COMPARED = (
    "Differences between networks that have learned nothing say nothing about techniques: train longer, on more "
    "images, or with another learning rate."
)
ONE_LEARNED = (
    "Where only one of two arms has learned, the direction of a difference that is shown stands; its size is that of "
    "this length of training."
)

#: Most arms or runs that are named; the rest is counted.
MOST_NAMED = 4


def find_arms_at_chance(study: PlannedStudy, runs: StudyRuns) -> list[str]:
    """The names of the arms whose mean accuracy is at chance level."""
    if runs.first is None:
        return []
    limit, split = compute_chance_limit(compute_chance_accuracy(runs.first)), runs.metric.split("/")[0]
    found = {
        arm.name: list(runs.values(arm.name, lambda result: result["metrics"].get(f"{split}/accuracy")).values())
        for arm in study.arms.ready
    }
    return [name for name, values in found.items() if values and sum(values) / len(values) <= limit]


def describe_chance_level(study: PlannedStudy, runs: StudyRuns) -> str:
    """A warning that names the arms whose mean, and the runs of other arms whose own accuracy, is at chance level.

    Empty if there are none, or no results.
    """
    if runs.first is None:
        return ""
    split = runs.metric.split("/")[0]
    chance = compute_chance_accuracy(runs.first)
    limit = compute_chance_limit(chance)
    low = find_arms_at_chance(study, runs)
    at_chance, collapsed, num_scored, best = list[str](), list[str](), 0, 0.0
    for arm in study.arms.ready:
        values = runs.values(arm.name, lambda result: result["metrics"].get(f"{split}/accuracy"))
        if not values:
            continue
        num_scored, mean = num_scored + 1, sum(values.values()) / len(values)
        if arm.name in low:
            at_chance.append(arm.arm.label)
            best = max(best, mean)
        else:
            collapsed += [f"{arm.arm.label} with seed {seed}" for seed, value in values.items() if value <= limit]
    parts = []
    if at_chance:
        which = "All" if len(at_chance) == num_scored else f"{len(at_chance)} of"
        names = "" if len(at_chance) == num_scored else f" ({join_with_and(at_chance, MOST_NAMED)})"
        verb = "is" if len(at_chance) == 1 else "are"
        reached, constant = map(SHARE_FORMAT.format_with_unit, (best, chance))
        parts.append(
            f"{which} {format_count(num_scored, 'arm')} {verb} at chance level{names}: at best {reached} {split} "
            f"accuracy, where naming always the most frequent class has {constant}. {_describe_differences(study, low)}"
        )
    if collapsed:
        parts.append(
            f"{format_count(len(collapsed), 'run')} of other arms collapsed to chance level: "
            f"{join_with_and(collapsed, MOST_NAMED)}. Means and intervals of such arms do not describe a typical run."
        )
    return " ".join(parts)


def _describe_differences(study: PlannedStudy, low: Sequence[str]) -> str:
    """What differences of arms at chance level say. low: the names of these; other arms have learned."""
    learned = [(arm.name in low) + (arm.arm.reference in low) for arm in study.compared]
    found = [ONE_LEARNED] if 1 in learned else []
    return " ".join([*found, *([NOTHING_COMPARED] if 2 in learned or not found else [])])
