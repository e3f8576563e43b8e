"""The wording that all parts of a page share: kinds of study, metrics, levels, lists of names."""

from collections.abc import Sequence

from sota_exp.report.numbers import join_with_and
from sota_exp.report.study.study import StudyResult
from sota_exp.statistics.units import METRIC_WORDS

#: Most names in a sentence; the rest is counted, as in "and 5 more".
MAX_LISTED_NAMES = 6


#: What the arms of a kind of study are called; `arm` in others.
NOUNS = {
    "ladder": "step",
    "leave_one_out": "omission",
    "one_change": "change",
    "add_one_in": "addition",
    "one_slot": "option",
    "screening": "cell",
    "auto": "omission",
    "null": "null arm",
}

METRICS = {
    f"{split}/{name}": f"{title} {words}"
    for split, title in (("test", "Test"), ("val", "Validation"))
    for name, words in METRIC_WORDS.items()
}


def get_noun(study: StudyResult) -> str:
    return NOUNS.get(study.kind, "arm")


def get_metric_name(study: StudyResult) -> str:
    return METRICS.get(study.metric, study.metric)


def list_names(names: Sequence[str]) -> str:
    rest = [f"{len(names) - MAX_LISTED_NAMES} more"] if len(names) > MAX_LISTED_NAMES else []
    return join_with_and([*names[:MAX_LISTED_NAMES], *rest])
