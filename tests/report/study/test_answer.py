"""The answer of a study speaks of techniques where its arms leave them out, and of the arms where they add one."""

from pathlib import Path

import pytest

from sota_exp.report.study.answer import build_study_answer, describe_left_out
from sota_exp.report.study.study import StudyArm, StudyResult
from sota_exp.statistics.units import SHARE_FORMAT

FULL = StudyArm(name="full", label="Everything")


def compared(name: str, label: str, difference: float, verdict: str, detectable: float | None = None) -> StudyArm:
    return StudyArm(
        name=name,
        label=label,
        reference="full",
        difference=difference,
        verdict=verdict,
        n=10,
        detectable=detectable,
    )


TRANSFER = compared("without_transfer", "Without pretrained weights", -0.5727, "hurts")
SMOOTHING = compared("without_smoothing", "Without label smoothing", 0.02, "helps")
OPEN = compared("without_ema", "Without EMA", -0.002, "cannot be distinguished", 0.0370)
MIXUP = compared("with_mixup", "With mixup", 0.03, "helps")
HEAD = compared("with_head_alone", "With training the head alone", -0.04, "cannot be distinguished", 0.0774)


@pytest.mark.parametrize(
    ("kind", "arms", "answer"),
    [
        (
            "one_change",
            [TRANSFER, OPEN, HEAD],
            "**1 of 2 techniques helps**: *pretrained weights* (without: −57.27 points). 2 cannot be distinguished from "
            "no effect with 10 seeds: effects of up to 7.74 points could be missed.",
        ),
        (
            "one_change",
            [TRANSFER, SMOOTHING, MIXUP],
            "**1 of 2 techniques helps**: *pretrained weights* (without: −57.27 points). **1 hurts**: *label smoothing* "
            "(without: +2.00 points). **1 of 1 addition helps**: *With mixup* (+3.00 points).",
        ),
        ("leave_one_out", [SMOOTHING], "**1 of 1 technique hurts**: *label smoothing* (without: +2.00 points)."),
        ("leave_one_out", [OPEN], "**No omission of 1 was shown to help or to hurt.** 1 cannot be distinguished"),
        ("add_one_in", [MIXUP, HEAD], "**1 of 2 additions helps**: *With mixup* (+3.00 points). 1 cannot"),
    ],
)
def test_the_answer(kind: str, arms: list[StudyArm], answer: str) -> None:
    study = StudyResult(
        directory=Path(), name="a", title="A", kind=kind, metric="test/accuracy", arms=(FULL, *arms), seeds=(0, 1)
    )
    assert build_study_answer(study).startswith(answer)


def test_the_terminal_names_the_techniques_too() -> None:
    arms = [vars(each) for each in (FULL, TRANSFER, SMOOTHING, OPEN, MIXUP)]
    assert describe_left_out(arms, SHARE_FORMAT) == [
        "What helps: pretrained weights (without: −57.27 points).",
        "What hurts: label smoothing (without: +2.00 points).",
    ]
    assert describe_left_out([vars(MIXUP)], SHARE_FORMAT) == []
