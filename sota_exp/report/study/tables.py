"""The tables of a study's report."""

import shlex
from collections.abc import Sequence
from urllib.parse import quote

from sota_exp.report.document.document import Cell, Span, Table, build_table, cell, code
from sota_exp.report.numbers import duration, interval, known, plain_value, quantity, size
from sota_exp.report.study.study import Arm, Change, Effect, Interval, Study
from sota_exp.report.study.terms import metric_name, percent
from sota_exp.statistics.units import SECONDS, SHARE, UNKNOWN, p_value, scale_of, signed

#: The tone of the cell of a verdict; `open` for others.
TONES = {"helps": "helps", "hurts": "hurts", "failed": "failed", "reference": ""}

#: Most classes in the table of changes; with more, those that change most.
MOST_CLASSES = 24

#: Most runs of an arm that are linked.
MOST_RUNS = 40


def numbered(study: Study, arm: Arm) -> str:
    """`3 EMA` with a no-break space; for a cell of a design, its label up to the colon."""
    if not study.compared:
        return arm.label.partition(":")[0]
    return f"{study.numbers[arm.name]}\N{NO-BREAK SPACE}{arm.label}"


def build_arm_cell(study: Study, arm: Arm) -> Cell:
    return cell(numbered(study, arm))


def get_tone(verdict: str) -> str:
    return TONES.get(verdict, "open")


def results(study: Study) -> Table:
    """Every arm with its mean, its difference from its reference, interval, p-value and verdict."""
    scale = scale_of(study.metric)
    unit, points = (f", {part}" if part else "" for part in (scale.unit, scale.difference_unit))
    named = {} if study.is_chain else study.numbers
    names = ["Arm", "Against", "Pairs", f"Mean{unit}", "± sd", f"Difference{points}"]
    names += [f"{percent(study.level)} interval", "p, joint", "Detectable", "Verdict"]
    rows = [
        [
            build_arm_cell(study, arm) if study.compared else cell(arm.label),
            cell(named.get(arm.reference or "", UNKNOWN)),
            cell(str(arm.n)),
            cell(scale.value(arm.mean)),
            cell(scale.value(arm.sd)),
            cell(scale.difference(arm.difference)),
            cell(interval(scale, arm.interval)),
            cell(p_value(arm.p_adjusted)),
            cell(scale.value(arm.detectable)),
            cell(arm.verdict if study.compared else UNKNOWN, tone=get_tone(arm.verdict)),
        ]
        for arm in study.arms
    ]
    against = "the arm before it" if study.is_chain else "the arm whose number is in the column Against"
    if not study.compared:
        return build_table(f"{metric_name(study)} of every arm over its seeds, unpaired.", names, rows, ["Verdict"])
    caption = (
        f"{metric_name(study)} of every arm over its seeds, and its paired difference from {against}. Pairs: "
        "seeds that both have (for an arm without a reference: runs). Each interval is for its arm alone; p and "
        "the verdict are joint over all arms. Detectable: the smallest effect that so many pairs would detect "
        f"with a power of {study.power:g}."
    )
    return build_table(caption, names, rows, ["Verdict"])


def noises(study: Study) -> Table | None:
    """The interval over seeds beside the one over test images."""
    scale = scale_of(study.metric)
    names = ["Arm", "Difference", "Over seeds", "Over test images", "Won", "Lost"]
    rows = [
        [
            build_arm_cell(study, arm),
            cell(scale.difference(arm.difference)),
            cell(interval(scale, arm.interval)),
            cell(interval(scale, arm.examples.interval)),
            cell(known(arm.examples.won, lambda num: f"{num:,.0f}")),
            cell(known(arm.examples.lost, lambda num: f"{num:,.0f}")),
        ]
        for arm in study.compared
        if arm.examples is not None
    ]
    caption = (
        f"The same differences with {percent(study.level)} intervals for each noise alone. Won and lost: test "
        "images that the arm classifies correctly with more seeds, or with fewer seeds, than its reference."
    )
    return build_table(caption, names, rows) if rows else None


def costs(study: Study) -> Table | None:
    if not any(arm.cost.seconds is not None for arm in study.arms):
        return None
    names = ["Arm", "Training", "Difference, s", f"{percent(study.level)} interval, s", "Training cost", "Per image"]
    names += ["Parameters", "Peak memory", "Points per hour"]
    rows = [build_cost_row(study, arm) for arm in study.arms]
    caption = (
        "Mean cost of one training. Times were measured on the machine below, possibly with other load. Points per "
        "hour: the gain per additional hour of training; – if no additional time is shown."
    )
    return build_table(caption, names, rows)


def build_cost_row(study: Study, arm: Arm) -> list[Cell]:
    cost = arm.cost
    return [
        build_arm_cell(study, arm),
        cell(duration(cost.seconds)),
        cell(SECONDS.difference(cost.seconds_difference)),
        cell(interval(SECONDS, cost.interval)),
        cell(quantity(cost.training_flops, "FLOPs")),
        cell(quantity(cost.flops_per_image, "FLOPs")),
        cell(quantity(cost.parameters)),
        cell(size(cost.peak_memory_bytes)),
        cell(known(cost.points_per_hour, lambda value: signed(value, 1 if abs(value) < 100 else 0))),
    ]


def calibration(study: Study) -> Table | None:
    if not any(arm.calibration.ece is not None for arm in study.arms):
        return None
    names = ["Arm", "Calibration error, %", "Difference, points", f"{percent(study.level)} interval"]
    rows = [
        [
            build_arm_cell(study, arm),
            cell(SHARE.value(arm.calibration.ece)),
            cell(SHARE.difference(arm.calibration.difference)),
            cell(interval(SHARE, arm.calibration.interval)),
        ]
        for arm in study.arms
    ]
    caption = (
        "Expected calibration error on test (15 bins), mean over seeds: the gap between confidence and accuracy. "
        "Lower is better."
    )
    return build_table(caption, names, rows)


def by_class(study: Study) -> Table | None:
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
        f"Change of the accuracy of each class, percentage points; * if the {percent(study.level)} interval of "
        f"the class alone excludes zero, which happens by chance among so many.{some}"
    )
    return build_table(caption, ["Arm", *names], rows)


def select_classes(study: Study, arms: Sequence[Arm]) -> list[str]:
    names = list(study.classes) or list(dict.fromkeys(name for arm in arms for name in arm.classes))
    if len(names) <= MOST_CLASSES:
        return names if arms else []
    changes = {name: max((abs(get_change_size(arm.classes.get(name))) for arm in arms), default=0.0) for name in names}
    most = sorted(names, key=lambda name: -changes[name])[:MOST_CLASSES]
    return [name for name in names if name in most]


def get_change_size(change: Change | None) -> float:
    return 0.0 if change is None or change.difference is None else change.difference


def build_class_cell(change: Change | None, largest: float) -> Cell:
    if change is None or change.difference is None:
        return cell(UNKNOWN)
    star = "*" if change.interval is not None and change.interval.excludes_zero else ""
    return cell(f"{signed(100 * change.difference, 1)}{star}", shade=change.difference / largest)


def effects(study: Study, found: Sequence[Effect], what: str) -> Table:
    """Main effects or interactions of a design."""
    scale = scale_of(study.metric)
    names = [what, "Effect", f"{percent(study.level)} interval", "p, joint", "Verdict"]
    rows = [
        [
            cell(each.name),
            cell(scale.difference(each.estimate)),
            cell(interval(scale, each.interval)),
            cell(p_value(each.p_adjusted)),
            cell(each.verdict or UNKNOWN, tone=get_tone(each.verdict) if each.verdict else ""),
        ]
        for each in found
    ]
    unit = scale.difference_unit or "in its own unit"
    setting = "all other techniques off" if study.kind == "pairs" else "averaged over the settings of all other factors"
    caption = f"{what}s on {metric_name(study).lower()}, {unit}, {setting}."
    return build_table(caption, names, rows, ["Verdict"])


def side_by_side(study: Study) -> Table | None:
    """Main effect and leave-one-out loss of each technique, if a leave-one-out was run beside a design."""
    scale = scale_of(study.metric)
    rows = []
    for each in study.effects:
        arm = study.arm(f"without_{each.factor}")
        if arm is None or arm.difference is None or each.estimate is None:
            continue
        negated = None if arm.interval is None else Interval(low=-arm.interval.high, high=-arm.interval.low)
        lost = interval(scale, negated)
        rows.append(
            [cell(each.name), *map(cell, (scale.difference(each.estimate), scale.difference(-arm.difference), lost))]
        )
    caption = (
        f"Two estimates on {metric_name(study).lower()}, with the same sign if they agree: the mean effect over all "
        "settings of the other techniques, and the loss when the technique is removed from all. If they differ, the "
        "effect depends on the other techniques."
    )
    names = ["Technique", "Main effect", "Lost without it", "Interval of the loss"]
    return build_table(caption, names, rows) if rows else None


def differences(study: Study) -> Table | None:
    """The configuration values that each arm changes: one row per value, the arm's name in its first row."""
    names = ["Arm", "Key", "In its reference", "Here"]
    rows = []
    for arm in study.compared:
        for index, (key, pair) in enumerate(arm.differences.items()):
            cells = [Cell(words=[code(part)]) for part in (key, *map(plain_value, pair))]
            rows.append([cell("" if index else numbered(study, arm)), *cells])
    return build_table("What each arm changes in the configuration.", names, rows, names) if rows else None


def overrides(study: Study) -> Table:
    """The overrides of each arm and the directories of its runs."""
    names = ["Arm", "Overrides", "Runs by seed"]
    rows = [
        [build_arm_cell(study, arm), Cell(words=[code(format_overrides(arm))]), Cell(words=build_run_links(arm))]
        for arm in study.arms
    ]
    caption = "Overrides of each arm beyond those of its reference, and the directories of its runs."
    return build_table(caption, names, rows, names)


def format_overrides(arm: Arm) -> str:
    return " ".join(map(shlex.quote, arm.overrides)) or UNKNOWN


def build_run_links(arm: Arm) -> list[Span | str]:
    """Links to the first `MOST_RUNS` runs."""
    found: list[Span | str] = []
    for seed, place in list(arm.runs.items())[:MOST_RUNS]:
        found += [" " if found else "", code(str(seed), quote(f"{place}/"))]
    rest = len(arm.runs) - MOST_RUNS
    return [*found, f" and {rest:,} more"] if rest > 0 else found


def environment(study: Study) -> Table | None:
    found = study.environment
    facts = {name: value for name, value in found.items() if name != "versions"} | dict(found.get("versions") or {})
    rows = [[cell(str(name)), Cell(words=[code(str(value))])] for name, value in facts.items() if value is not None]
    return build_table("Hardware and software of the runs.", ["What", "Which"], rows, ["Which"]) if rows else None
