"""The tables of a study's report."""

import shlex
from collections.abc import Sequence
from urllib.parse import quote

from sota_exp.report.document.document import DocumentTable, TableCell, TextSpan, build_table, cell, code
from sota_exp.report.numbers import (
    format_duration,
    format_interval,
    format_mebibytes,
    format_or_dash,
    format_quantity,
    format_yaml_value,
)
from sota_exp.report.study.study import ConfidenceInterval, DesignEffect, Difference, StudyArm, StudyResult
from sota_exp.report.study.terms import format_percent, get_metric_name
from sota_exp.statistics.units import (
    SECONDS_FORMAT,
    SHARE_FORMAT,
    UNKNOWN,
    format_p_value,
    format_signed,
    get_metric_format,
)

#: The tone of the cell of a verdict; `open` for others.
TONES = {"helps": "helps", "hurts": "hurts", "failed": "failed", "reference": ""}

#: Most classes in the table of changes; with more, those that change most.
MOST_CLASSES = 24

#: Most runs of an arm that are linked.
MOST_RUNS = 40


def format_arm_number(study: StudyResult, arm: StudyArm) -> str:
    """`3 EMA` with a no-break space; for a cell of a design, its label up to the colon."""
    if not study.compared:
        return arm.label.partition(":")[0]
    return f"{study.arm_numbers[arm.name]}\N{NO-BREAK SPACE}{arm.label}"


def build_arm_cell(study: StudyResult, arm: StudyArm) -> TableCell:
    return cell(format_arm_number(study, arm))


def get_tone(verdict: str) -> str:
    return TONES.get(verdict, "open")


def build_results_table(study: StudyResult) -> DocumentTable:
    """Every arm with its mean, its difference from its reference, interval, p-value and verdict."""
    scale = get_metric_format(study.metric)
    unit, points = (f", {part}" if part else "" for part in (scale.unit, scale.difference_unit))
    named = {} if study.is_chain else study.arm_numbers
    names = ["Arm", "Against", "Pairs", f"Mean{unit}", "± sd", f"Difference{points}"]
    names += [f"{format_percent(study.level)} interval", "p, joint", "Detectable", "Verdict"]
    rows = [
        [
            build_arm_cell(study, arm) if study.compared else cell(arm.label),
            cell(named.get(arm.reference or "", UNKNOWN)),
            cell(str(arm.n)),
            cell(scale.value(arm.mean)),
            cell(scale.value(arm.sd)),
            cell(scale.difference(arm.difference)),
            cell(format_interval(scale, arm.interval)),
            cell(format_p_value(arm.p_adjusted)),
            cell(scale.value(arm.detectable)),
            cell(arm.verdict if study.compared else UNKNOWN, tone=get_tone(arm.verdict)),
        ]
        for arm in study.arms
    ]
    against = "the arm before it" if study.is_chain else "the arm whose number is in the column Against"
    if not study.compared:
        return build_table(f"{get_metric_name(study)} of every arm over its seeds, unpaired.", names, rows, ["Verdict"])
    caption = (
        f"{get_metric_name(study)} of every arm over its seeds, and its paired difference from {against}. Pairs: "
        "seeds that both have (for an arm without a reference: runs). Each interval is for its arm alone; p and "
        "the verdict are joint over all arms. Detectable: the smallest effect that so many pairs would detect "
        f"with a power of {study.power:g}."
    )
    return build_table(caption, names, rows, ["Verdict"])


def build_noise_table(study: StudyResult) -> DocumentTable | None:
    """The interval over seeds beside the one over test images."""
    scale = get_metric_format(study.metric)
    names = ["Arm", "Difference", "Over seeds", "Over test images", "Won", "Lost"]
    rows = [
        [
            build_arm_cell(study, arm),
            cell(scale.difference(arm.difference)),
            cell(format_interval(scale, arm.interval)),
            cell(format_interval(scale, arm.examples.interval)),
            cell(format_or_dash(arm.examples.won, lambda num: f"{num:,.0f}")),
            cell(format_or_dash(arm.examples.lost, lambda num: f"{num:,.0f}")),
        ]
        for arm in study.compared
        if arm.examples is not None
    ]
    caption = (
        f"The same differences with {format_percent(study.level)} intervals for each noise alone. Won and lost: test "
        "images that the arm classifies correctly with more seeds, or with fewer seeds, than its reference."
    )
    return build_table(caption, names, rows) if rows else None


def build_cost_table(study: StudyResult) -> DocumentTable | None:
    if not any(arm.cost.seconds is not None for arm in study.arms):
        return None
    names = [
        "Arm",
        "Training",
        "Difference, s",
        f"{format_percent(study.level)} interval, s",
        "Training cost",
        "Per image",
    ]
    names += ["Parameters", "Peak memory", "Points per hour"]
    rows = [build_cost_row(study, arm) for arm in study.arms]
    caption = (
        "Mean cost of one training. Times were measured on the machine below, possibly with other load. Points per "
        "hour: the gain per additional hour of training; – if no additional time is shown."
    )
    return build_table(caption, names, rows)


def build_cost_row(study: StudyResult, arm: StudyArm) -> list[TableCell]:
    cost = arm.cost
    return [
        build_arm_cell(study, arm),
        cell(format_duration(cost.seconds)),
        cell(SECONDS_FORMAT.difference(cost.seconds_difference)),
        cell(format_interval(SECONDS_FORMAT, cost.interval)),
        cell(format_quantity(cost.training_flops, "FLOPs")),
        cell(format_quantity(cost.flops_per_image, "FLOPs")),
        cell(format_quantity(cost.parameters)),
        cell(format_mebibytes(cost.peak_memory_bytes)),
        cell(format_or_dash(cost.points_per_hour, lambda value: format_signed(value, 1 if abs(value) < 100 else 0))),
    ]


def build_calibration_table(study: StudyResult) -> DocumentTable | None:
    if not any(arm.calibration.ece is not None for arm in study.arms):
        return None
    names = ["Arm", "Calibration error, %", "Difference, points", f"{format_percent(study.level)} interval"]
    rows = [
        [
            build_arm_cell(study, arm),
            cell(SHARE_FORMAT.value(arm.calibration.ece)),
            cell(SHARE_FORMAT.difference(arm.calibration.difference)),
            cell(format_interval(SHARE_FORMAT, arm.calibration.interval)),
        ]
        for arm in study.arms
    ]
    caption = (
        "Expected calibration error on test (15 bins), mean over seeds: the gap between confidence and accuracy. "
        "Lower is better."
    )
    return build_table(caption, names, rows)


def build_class_table(study: StudyResult) -> DocumentTable | None:
    """Changes of accuracy by arm and class, shaded; * if the interval excludes zero."""
    arms = [arm for arm in study.compared if arm.classes]
    names = select_classes(study, arms)
    if not names:
        return None
    largest = max((abs(get_change_size(arm.classes.get(name))) for arm in arms for name in names), default=0.0) or 1.0
    rows = [
        [build_arm_cell(study, arm), *(build_class_cell(arm.classes.get(name), largest) for name in names)]
        for arm in arms
    ]
    some = (
        f" The {len(names)} of {len(study.classes)} classes that change most."
        if len(names) < len(study.classes)
        else ""
    )
    caption = (
        f"Change of the accuracy of each class, percentage points; * if the {format_percent(study.level)} interval of "
        f"the class alone excludes zero, which happens by chance among so many.{some}"
    )
    return build_table(caption, ["Arm", *names], rows)


def select_classes(study: StudyResult, arms: Sequence[StudyArm]) -> list[str]:
    names = list(study.classes) or list(dict.fromkeys(name for arm in arms for name in arm.classes))
    if len(names) <= MOST_CLASSES:
        return names if arms else []
    changes = {name: max((abs(get_change_size(arm.classes.get(name))) for arm in arms), default=0.0) for name in names}
    most = sorted(names, key=lambda name: -changes[name])[:MOST_CLASSES]
    return [name for name in names if name in most]


def get_change_size(change: Difference | None) -> float:
    return 0.0 if change is None or change.difference is None else change.difference


def build_class_cell(change: Difference | None, largest: float) -> TableCell:
    if change is None or change.difference is None:
        return cell(UNKNOWN)
    star = "*" if change.interval is not None and change.interval.excludes_zero else ""
    return cell(f"{format_signed(100 * change.difference, 1)}{star}", shade=change.difference / largest)


def build_effects_table(study: StudyResult, found: Sequence[DesignEffect], what: str) -> DocumentTable:
    """Main effects or interactions of a design."""
    scale = get_metric_format(study.metric)
    names = [what, "Effect", f"{format_percent(study.level)} interval", "p, joint", "Verdict"]
    rows = [
        [
            cell(each.name),
            cell(scale.difference(each.estimate)),
            cell(format_interval(scale, each.interval)),
            cell(format_p_value(each.p_adjusted)),
            cell(each.verdict or UNKNOWN, tone=get_tone(each.verdict) if each.verdict else ""),
        ]
        for each in found
    ]
    unit = scale.difference_unit or "in its own unit"
    setting = "all other techniques off" if study.kind == "pairs" else "averaged over the settings of all other factors"
    caption = f"{what}s on {get_metric_name(study).lower()}, {unit}, {setting}."
    return build_table(caption, names, rows, ["Verdict"])


def build_main_effect_and_loss_table(study: StudyResult) -> DocumentTable | None:
    """Main effect and leave-one-out loss of each technique, if a leave-one-out was run beside a design."""
    scale = get_metric_format(study.metric)
    rows = []
    for each in study.effects:
        arm = study.arm(f"without_{each.factor}")
        if arm is None or arm.difference is None or each.estimate is None:
            continue
        negated = None if arm.interval is None else ConfidenceInterval(low=-arm.interval.high, high=-arm.interval.low)
        lost = format_interval(scale, negated)
        rows.append(
            [cell(each.name), *map(cell, (scale.difference(each.estimate), scale.difference(-arm.difference), lost))]
        )
    caption = (
        f"Two estimates on {get_metric_name(study).lower()}, with the same sign if they agree: the mean effect over "
        "all settings of the other techniques, and the loss when the technique is removed from all. If they differ, "
        "the effect depends on the other techniques."
    )
    names = ["Technique", "Main effect", "Lost without it", "Interval of the loss"]
    return build_table(caption, names, rows) if rows else None


def build_config_changes_table(study: StudyResult) -> DocumentTable | None:
    """The configuration values that each arm changes: one row per value, the arm's name in its first row."""
    names = ["Arm", "Key", "In its reference", "Here"]
    rows = []
    for arm in study.compared:
        for index, (key, pair) in enumerate(arm.differences.items()):
            cells = [TableCell(words=[code(part)]) for part in (key, *map(format_yaml_value, pair))]
            rows.append([cell("" if index else format_arm_number(study, arm)), *cells])
    return build_table("What each arm changes in the configuration.", names, rows, names) if rows else None


def build_overrides_table(study: StudyResult) -> DocumentTable:
    """The overrides of each arm and the directories of its runs."""
    names = ["Arm", "Overrides", "Runs by seed"]
    rows = [
        [
            build_arm_cell(study, arm),
            TableCell(words=[code(format_overrides(arm))]),
            TableCell(words=build_run_links(arm)),
        ]
        for arm in study.arms
    ]
    caption = "Overrides of each arm beyond those of its reference, and the directories of its runs."
    return build_table(caption, names, rows, names)


def format_overrides(arm: StudyArm) -> str:
    return " ".join(map(shlex.quote, arm.overrides)) or UNKNOWN


def build_run_links(arm: StudyArm) -> list[TextSpan | str]:
    """Links to the first `MOST_RUNS` runs."""
    found: list[TextSpan | str] = []
    for seed, place in list(arm.runs.items())[:MOST_RUNS]:
        found += [" " if found else "", code(str(seed), quote(f"{place}/"))]
    rest = len(arm.runs) - MOST_RUNS
    return [*found, f" and {rest:,} more"] if rest > 0 else found


def build_environment_table(study: StudyResult) -> DocumentTable | None:
    found = study.environment
    facts = {name: value for name, value in found.items() if name != "versions"} | dict(found.get("versions") or {})
    rows = [
        [cell(str(name)), TableCell(words=[code(str(value))])] for name, value in facts.items() if value is not None
    ]
    return build_table("Hardware and software of the runs.", ["What", "Which"], rows, ["Which"]) if rows else None
