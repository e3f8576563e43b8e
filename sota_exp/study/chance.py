"""Whether the networks of a study have learned more than a classifier that always names the most frequent class."""

from sota_exp.report.numbers import format_count, join_with_and
from sota_exp.statistics.units import SHARE_FORMAT
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns

#: Most arms or runs that are named; the rest is counted.
MOST_NAMED = 4


def compute_chance_accuracy(result: JsonObject) -> float:
    """The share of the most frequent class among the test images of a run; of equal classes, without their numbers."""
    counts = [sum(row) for row in result.get("confusion_matrix") or ()]
    return max(counts) / sum(counts) if sum(counts) else 1 / max(1, len(result["per_class_accuracy"]))


def compute_chance_limit(chance: float) -> float:
    """The accuracy up to which a network is at chance level: 14.5 % for ten equal classes, 52.5 % for two.

    A twentieth of the way from chance to 1, but at most 1.5 times chance.
    """
    return min(1.5 * chance, chance + 0.05 * (1 - chance))


def describe_chance_level(study: PlannedStudy, runs: StudyRuns) -> str:
    """A warning that names the arms whose mean, and the runs of other arms whose own accuracy, is at chance level.

    Empty if there are none, or no results.
    """
    if runs.first is None:
        return ""
    split = runs.metric.split("/")[0]
    chance = compute_chance_accuracy(runs.first)
    limit = compute_chance_limit(chance)
    at_chance, collapsed, num_scored, best = list[str](), list[str](), 0, 0.0
    for arm in study.arms.ready:
        values = runs.values(arm.name, lambda result: result["metrics"].get(f"{split}/accuracy"))
        if not values:
            continue
        num_scored, mean = num_scored + 1, sum(values.values()) / len(values)
        if mean <= limit:
            at_chance.append(arm.arm.label)
            best = max(best, mean)
        else:
            collapsed += [f"{arm.arm.label} with seed {seed}" for seed, value in values.items() if value <= limit]
    parts = []
    if at_chance:
        which = "All" if len(at_chance) == num_scored else f"{len(at_chance)} of"
        names = "" if len(at_chance) == num_scored else f" ({list_some(at_chance)})"
        verb = "is" if len(at_chance) == 1 else "are"
        reached, constant = map(SHARE_FORMAT.format_with_unit, (best, chance))
        parts.append(
            f"{which} {format_count(num_scored, 'arm')} {verb} at chance level{names}: at best {reached} {split} "
            f"accuracy, where naming always the most frequent class has {constant}. Differences between networks that "
            "have learned nothing say nothing about techniques: train longer, on more images, or with another "
            "learning rate."
        )
    if collapsed:
        parts.append(
            f"{format_count(len(collapsed), 'run')} of other arms collapsed to chance level: {list_some(collapsed)}. "
            "Means and intervals of such arms do not describe a typical run."
        )
    return " ".join(parts)


def list_some(names: list[str]) -> str:
    rest = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return join_with_and([*names[:MOST_NAMED], *rest])
