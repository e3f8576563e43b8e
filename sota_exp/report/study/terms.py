"""The terms of a page: names for kinds of study, metrics, levels and lists of arms."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.numbers import listed
from sota_exp.report.study.study import Study

#: Names in a sentence before it ends with "and 5 more".
MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a kind of study speaks of its arms, and what one of its differences means."""

    noun: str
    plural: str
    meaning: str


KINDS = {
    "ladder": Kind(
        noun="step",
        plural="steps",
        meaning="Each step is compared with the one before it, so its effect is that of adding it at this place of the ladder.",
    ),
    "leave_one_out": Kind(
        noun="omission",
        plural="omissions",
        meaning="Each arm is the whole recipe without one technique: an omission that hurts is a technique that helps, beside all others.",
    ),
    "add_one_in": Kind(
        noun="addition",
        plural="additions",
        meaning="Each arm is the plain recipe and one technique: an effect is that of the technique alone, without the others.",
    ),
    "pairs": Kind(
        noun="arm",
        plural="arms",
        meaning="Techniques alone and two by two: an interaction is what two bring together beyond the sum of what each brings alone.",
    ),
    "one_slot": Kind(
        noun="option", plural="options", meaning="Every option of one slot is compared with the same reference."
    ),
    "screening": Kind(
        noun="cell",
        plural="cells",
        meaning="Each run of the design switches about half of the techniques on: a main effect is averaged over the settings of all "
        "others, unlike that of leaving one out of a whole recipe.",
    ),
    "null": Kind(
        noun="null arm",
        plural="null arms",
        meaning="All arms are equal and trained on other seeds: whatever is called a help or a hurt here is a false alarm.",
    ),
}


OTHER = Kind(noun="arm", plural="arms", meaning="Each arm is compared with its reference.")


METRICS = {
    "test/accuracy": "Test accuracy",
    "val/accuracy": "Validation accuracy",
    "test/top5_accuracy": "Test top-5 accuracy",
    "test/loss": "Test loss",
    "test/ece": "Test calibration error",
}


def kind_of(study: Study) -> Kind:
    return KINDS.get(study.kind, OTHER)


def metric_name(study: Study) -> str:
    return METRICS.get(study.metric, study.metric)


def percent(level: float) -> str:
    return f"{100 * level:g} %"


def shown(names: Sequence[str]) -> str:
    rest = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return listed([*names[:MOST_NAMED], *rest])
