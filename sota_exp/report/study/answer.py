"""The answer of a study in sentences, by the template `answer.md.jinja`, and the line of facts below its title."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from sota_exp.config.values import join_first
from sota_exp.report.document.write import TEMPLATES
from sota_exp.report.numbers import format_count
from sota_exp.report.study.study import DesignEffect, StudyArm, StudyResult
from sota_exp.statistics.units import MetricFormat
from sota_exp.statistics.verdict import SHOWN, SHOWN_HERE

#: Most names in a sentence; the rest is counted, as in "and 5 more".
MOST_NAMES = 6


def build_study_facts(study: StudyResult, first: Mapping[str, Any]) -> list[str]:
    """The line of facts below the title. first: what `read_first_run` says of the runs."""
    runs = sum(len(arm.runs) for arm in study.arms)
    runs += sum(bool(cell.get("run")) for cell in study.screening.cells.values())
    found = [f"{first['train']:,} training images"] if "train" in first else []
    groups = f" in {study.num_test_groups:,} groups" if study.num_test_groups else ""
    found += [f"{study.num_test:,} test images{groups}"] if study.num_test else []
    found += [first[name] for name in ("model", "size") if name in first]
    found += [format_count(first["epochs"], "epoch")] if "epochs" in first else []
    found += [format_count(len(study.arms), "arm"), format_count(len(study.seeds), "seed"), format_count(runs, "run")]
    return [*filter(None, (first.get("date"), study.data)), *found, f"equal {study.budget}"]


def build_study_answer(study: StudyResult) -> Markup:
    """Paragraphs in Markdown: the main result, then a warning if networks are at chance level; first where all are."""
    text = TEMPLATES.get_template("study/answer.md.jinja").render(
        study=study,
        most=MOST_NAMES,
        SHOWN=SHOWN,
        SHOWN_HERE=SHOWN_HERE,
        find_left_out=find_left_out,
        concerns_all=concerns_all_arms(study.warning),
    )
    paragraphs = (re.sub(r"[ \n]+", " ", each).strip() for each in re.split(r"\n\s*\n", text))
    return Markup("\n\n".join(filter(None, paragraphs)))


def build_missing_note(study: StudyResult) -> Markup:
    """That runs are missing, in Markdown; "" of a complete study."""
    missing = format_count(len(study.missing), "run")
    return Markup(
        f"**This study is not complete**: {missing} missing. Run its command again: it continues where it stopped."
        if study.status != "complete"
        else ""
    )


def concerns_all_arms(warning: str) -> bool:
    """Whether a warning leaves no arm, so that there is no other result."""
    return warning.startswith("All ")


def sort_by_size(found: Sequence[StudyArm | DesignEffect], *verdicts: str) -> list[StudyArm | DesignEffect]:
    """Those with one of the verdicts, in their order, the largest effect first."""
    kept = [each for each in found if each.verdict in verdicts]
    return sorted(kept, key=lambda each: (verdicts.index(each.verdict), -abs(each.difference or 0)))


def find_left_out(name: str, label: str) -> str:
    """The label of the technique that an arm leaves out; "" of other arms."""
    return label.removeprefix("Without ") if name.startswith("without_") and label.startswith("Without ") else ""


def describe_left_out(arms: Sequence[Mapping[str, Any]], unit: MetricFormat) -> list[str]:
    """Which techniques help and which hurt, of the arms of `study.json` that leave one out; [] where none is shown."""
    lines = []
    for word, verdict in (("helps", "hurts"), ("hurts", "helps")):
        found = [
            f"{technique} (without: {unit.format_difference_with_unit(arm['difference'])})"
            for arm in arms
            if arm["verdict"] == verdict and (technique := find_left_out(arm["name"], arm["label"]))
        ]
        lines += [f"What {word}: {join_first(found, MOST_NAMES)}."] if found else []
    return lines


def split_left_out(found: Sequence[StudyArm | DesignEffect]) -> tuple[list[Any], list[Any]]:
    """Arms that leave out a technique, and the others."""
    parts: tuple[list[Any], list[Any]] = ([], [])
    for each in found:
        parts[not find_left_out(each.name, each.label)].append(each)
    return parts


TEMPLATES.filters["sized"] = sort_by_size
TEMPLATES.filters["split_left_out"] = split_left_out
