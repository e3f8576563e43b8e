"""The wording that all parts of a page share: kinds of study, metrics, levels, lists of names."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.numbers import listed
from sota_exp.report.study.study import Study

#: Most names in a sentence; the rest is counted, as in "and 5 more".
MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the arms of a kind of study are called, and what one of its differences means."""

    noun: str
    meaning: str


KINDS = {
    "ladder": Kind(
        noun="step",
        meaning="Each step is compared with the one before it: its effect is that of adding it at this place of the "
        "ladder.",
    ),
    "leave_one_out": Kind(
        noun="omission",
        meaning="Each arm is the whole recipe without one technique: an omission that hurts is a technique that helps "
        "in the presence of all others.",
    ),
    "add_one_in": Kind(
        noun="addition",
        meaning="Each arm is the plain recipe with one technique: its effect is that of the technique alone, "
        "without the others.",
    ),
    "pairs": Kind(
        noun="arm",
        meaning="Each technique alone and each pair: an interaction is the effect of a pair minus the sum of the "
        "effects of its two techniques.",
    ),
    "one_slot": Kind(noun="option", meaning="Every option of one slot is compared with the same reference."),
    "screening": Kind(
        noun="cell",
        meaning="Each run of the design switches about half of the techniques on: a main effect is averaged over the "
        "settings of all others, unlike the effect of leaving one out of the whole recipe.",
    ),
    "null": Kind(
        noun="null arm",
        meaning="All arms have the same configuration: every “helps” or “hurts” is a false alarm.",
    ),
}


OTHER = Kind(noun="arm", meaning="Each arm is compared with its reference.")


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
