"""The wording that all parts of a page share: kinds of study, metrics, levels, lists of names."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.numbers import join_with_and
from sota_exp.report.study.study import StudyResult

#: Most names in a sentence; the rest is counted, as in "and 5 more".
MAX_LISTED_NAMES = 6


@dataclass(frozen=True, kw_only=True)
class StudyWording:
    """What the arms of a kind of study are called, and what one of its differences means."""

    noun: str
    meaning: str


KINDS = {
    "ladder": StudyWording(
        noun="step",
        meaning="Each step is compared with the one before it: its effect is that of adding it at this place of the "
        "ladder.",
    ),
    "leave_one_out": StudyWording(
        noun="omission",
        meaning="Each arm is the whole recipe without one technique: an omission that hurts is a technique that helps "
        "in the presence of all others.",
    ),
    "add_one_in": StudyWording(
        noun="addition",
        meaning="Each arm is the plain recipe with one technique: its effect is that of the technique alone, "
        "without the others.",
    ),
    "pairs": StudyWording(
        noun="arm",
        meaning="Each technique alone and each pair: an interaction is the effect of a pair minus the sum of the "
        "effects of its two techniques.",
    ),
    "one_slot": StudyWording(noun="option", meaning="Every option of one slot is compared with the same reference."),
    "screening": StudyWording(
        noun="cell",
        meaning="Each run of the design switches about half of the techniques on: a main effect is averaged over the "
        "settings of all others, unlike the effect of leaving one out of the whole recipe.",
    ),
    "null": StudyWording(
        noun="null arm",
        meaning="All arms have the same configuration: every “helps” or “hurts” is a false alarm.",
    ),
}


OTHER = StudyWording(noun="arm", meaning="Each arm is compared with its reference.")


METRICS = {
    "test/accuracy": "Test accuracy",
    "val/accuracy": "Validation accuracy",
    "test/top5_accuracy": "Test top-5 accuracy",
    "test/loss": "Test loss",
    "test/ece": "Test calibration error",
}


def get_study_wording(study: StudyResult) -> StudyWording:
    return KINDS.get(study.kind, OTHER)


def get_metric_name(study: StudyResult) -> str:
    return METRICS.get(study.metric, study.metric)


def format_percent(level: float) -> str:
    return f"{100 * level:g} %"


def list_names(names: Sequence[str]) -> str:
    rest = [f"{len(names) - MAX_LISTED_NAMES} more"] if len(names) > MAX_LISTED_NAMES else []
    return join_with_and([*names[:MAX_LISTED_NAMES], *rest])
