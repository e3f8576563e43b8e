"""The tables of a study's page."""

import shlex
from collections.abc import Sequence
from urllib.parse import quote

from sota_exp.report.document.document import Cell, Column, Span, Table, cell, code
from sota_exp.report.numbers import duration, interval, known, quantity, size
from sota_exp.report.study.study import Arm, Change, Effect, Interval, Study
from sota_exp.report.study.terms import metric_name, percent
from sota_exp.statistics.units import SECONDS, SHARE, UNKNOWN, p_value, scale_of, signed

#: How a verdict is inked.
TONES = {"helps": "helps", "hurts": "hurts", "failed": "failed", "reference": ""}

#: Classes in the table of changes; beyond them, those that changed most.
MOST_CLASSES = 24

#: Runs of an arm that are linked.
MOST_RUNS = 40


def numbered(study: Study, arm: Arm) -> str:
    """`3 EMA`, in which the number stays with the word after it; a cell of a design is called by the beginning of its label."""
    if not study.compared:
        return arm.label.partition(":")[0]
    return f"{study.numbers[arm.name]}\N{NO-BREAK SPACE}{arm.label}"


def build_arm_cell(study: Study, arm: Arm) -> Cell:
    return cell(numbered(study, arm))


def get_tone(verdict: str) -> str:
    return TONES.get(verdict, "open")


def results(study: Study) -> Table:
    """Every arm: its mean, its difference, how sure, and the verdict."""
    scale = scale_of(study.metric)
    unit, points = (f", {part}" if part else "" for part in (scale.unit, scale.difference_unit))
    named = {} if study.is_chain else study.numbers
    columns = [
        Column(name="Arm", is_number=False),
        Column(name="Against"),
        Column(name="Pairs"),
        Column(name=f"Mean{unit}"),
        Column(name="± sd"),
        Column(name=f"Difference{points}"),
        Column(name=f"{percent(study.level)} interval"),
        Column(name="p, joint"),
        Column(name="Detectable"),
        Column(name="Verdict", is_number=False),
    ]
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
    against = "the arm before it" if study.is_chain else "the arm whose number stands under Against"
    if not study.compared:
        caption = f"{metric_name(study)} of every arm over its seeds; nothing is paired."
        return Table(caption=[caption], columns=columns, rows=rows)
    caption = (
        f"{metric_name(study)} of every arm over its seeds, and its paired difference from {against}. Pairs: seeds that both have (runs, for an arm "
        f"held against none). An interval is its own arm's; p, and the verdict with it, hold for all arms at once. Detectable: the smallest effect that so many pairs would show with a power of {study.power:g}."
    )
    return Table(caption=[caption], columns=columns, rows=rows)


def noises(study: Study) -> Table | None:
    """The interval over seeds beside the one over test images."""
    scale = scale_of(study.metric)
    columns = [Column(name="Arm", is_number=False), Column(name="Difference"), Column(name="Over seeds")]
    columns += [Column(name="Over test images"), Column(name="Won"), Column(name="Lost")]
    rows = [
        [
            build_arm_cell(study, arm),
            cell(scale.difference(arm.difference)),
            cell(interval(scale, arm.interval)),
            cell(interval(scale, arm.examples.change.interval)),
            cell(known(arm.examples.won, lambda num: f"{num:,.0f}")),
            cell(known(arm.examples.lost, lambda num: f"{num:,.0f}")),
        ]
        for arm in study.compared
        if arm.examples is not None
    ]
    caption = (
        f"The same differences with {percent(study.level)} intervals for each of the two noises alone. Won and lost: test images on which the arm "
        "is right more often, or less often, than its reference, over the seeds."
    )
    return Table(caption=[caption], columns=columns, rows=rows) if rows else None


def costs(study: Study) -> Table | None:
    if not any(arm.cost.seconds is not None for arm in study.arms):
        return None
    columns = [Column(name="Arm", is_number=False), Column(name="Training"), Column(name="Difference, s")]
    columns += [
        Column(name=f"{percent(study.level)} interval, s"),
        Column(name="Training cost"),
        Column(name="An image"),
    ]
    columns += [Column(name="Parameters"), Column(name="Peak memory"), Column(name="Points an hour")]
    rows = [build_cost_row(study, arm) for arm in study.arms]
    caption = (
        "Mean cost of one training. Times are those of the machine below, beside whatever else ran on it. Points an hour: the difference for each "
        "hour of training that it costs more; – where nothing more was spent or nothing can be said."
    )
    return Table(caption=[caption], columns=columns, rows=rows)


def build_cost_row(study: Study, arm: Arm) -> list[Cell]:
    cost = arm.cost
    return [
        build_arm_cell(study, arm),
        cell(duration(cost.seconds)),
        cell(SECONDS.difference(cost.seconds_change.difference)),
        cell(interval(SECONDS, cost.seconds_change.interval)),
        cell(quantity(cost.training_flops, "FLOPs")),
        cell(quantity(cost.flops_per_image, "FLOPs")),
        cell(quantity(cost.parameters)),
        cell(size(cost.peak_memory_bytes)),
        cell(known(cost.points_per_hour, lambda value: signed(value, 1 if abs(value) < 100 else 0))),
    ]


def calibration(study: Study) -> Table | None:
    if not any(arm.ece is not None for arm in study.arms):
        return None
    columns = [
        Column(name="Arm", is_number=False),
        Column(name="Calibration error, %"),
        Column(name="Difference, points"),
    ]
    columns += [Column(name=f"{percent(study.level)} interval")]
    scale = SHARE
    rows = [
        [
            build_arm_cell(study, arm),
            cell(scale.value(arm.ece)),
            cell(scale.difference(arm.ece_change.difference)),
            cell(interval(scale, arm.ece_change.interval)),
        ]
        for arm in study.arms
    ]
    caption = "Expected calibration error on test (15 bins), mean over seeds: how far confidence is from being right. Less is better."
    return Table(caption=[caption], columns=columns, rows=rows)


def by_class(study: Study) -> Table | None:
    """Arms by classes, shaded; bold where the interval of the class leaves out zero."""
    arms = [arm for arm in study.compared if arm.classes]
    names = select_classes(study, arms)
    if not names:
        return None
    largest = max((abs(get_change_size(arm.classes.get(name))) for arm in arms for name in names), default=0.0) or 1.0
    rows = [
        [build_arm_cell(study, arm), *(build_class_cell(arm.classes.get(name), largest) for name in names)]
        for arm in arms
    ]
    columns = [Column(name="Arm", is_number=False), *(Column(name=name) for name in names)]
    some = (
        f" The {len(names)} of {len(study.classes)} classes that change most."
        if len(names) < len(study.classes)
        else ""
    )
    caption = (
        f"Change of the accuracy of each class, percentage points; * where the class's own {percent(study.level)} interval leaves out zero, "
        f"which among so many will happen by chance.{some}"
    )
    return Table(caption=[caption], columns=columns, rows=rows)


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
    """Of a design: main effects or interactions."""
    scale = scale_of(study.metric)
    columns = [
        Column(name=what, is_number=False),
        Column(name="Effect"),
        Column(name=f"{percent(study.level)} interval"),
    ]
    columns += [Column(name="p, joint"), Column(name="Verdict", is_number=False)]
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
    caption = f"{what}s on {metric_name(study).lower()}, {scale.difference_unit or 'in its own unit'}, {'all other techniques off' if study.kind == 'pairs' else 'averaged over the settings of all other factors'}."
    return Table(caption=[caption], columns=columns, rows=rows)


def side_by_side(study: Study) -> Table | None:
    """A technique's main effect, and what the whole loses without it; where leave-one-out was run beside a design."""
    scale = scale_of(study.metric)
    columns = [Column(name="Technique", is_number=False), Column(name="Main effect")]
    columns += [Column(name="Lost without it"), Column(name="Interval of the loss")]
    rows = []
    for each in study.effects:
        arm = study.arm(f"without_{each.factors[0]}")
        if arm is None or arm.difference is None or each.estimate is None:
            continue
        turned = None if arm.interval is None else Interval(low=-arm.interval.high, high=-arm.interval.low)
        lost = interval(scale, turned)
        rows.append(
            [cell(each.name), *map(cell, (scale.difference(each.estimate), scale.difference(-arm.difference), lost))]
        )
    caption = (
        f"Two answers on {metric_name(study).lower()}, with the same sign where they agree: a technique's mean over all settings of the others, and what "
        "everything loses without it. Where they differ, the technique's worth depends on what else is on."
    )
    return Table(caption=[caption], columns=columns, rows=rows) if rows else None


def differences(study: Study) -> Table | None:
    """Which values of the configuration each arm changes: a row a value, the arm's name in the first of them."""
    columns = [Column(name=name, is_number=False) for name in ("Arm", "Key", "In its reference", "Here")]
    rows = []
    for arm in study.compared:
        for index, (key, pair) in enumerate(arm.differences.items()):
            cells = [Cell(words=[code(part)]) for part in (key, *map(written, pair))]
            rows.append([cell("" if index else numbered(study, arm)), *cells])
    return Table(caption=["What each arm changes in the configuration."], columns=columns, rows=rows) if rows else None


def overrides(study: Study) -> Table:
    """What is asked of each arm, and where its runs lie."""
    columns = [Column(name=name, is_number=False) for name in ("Arm", "Overrides", "Runs by seed")]
    rows = [
        [build_arm_cell(study, arm), Cell(words=[code(format_overrides(arm))]), Cell(words=build_run_links(arm))]
        for arm in study.arms
    ]
    caption = "Overrides of each arm beyond those of its reference, and the directories of its runs, each with its own config.yaml."
    return Table(caption=[caption], columns=columns, rows=rows)


def format_overrides(arm: Arm) -> str:
    return " ".join(map(shlex.quote, arm.overrides)) or UNKNOWN


def build_run_links(arm: Arm) -> list[Span | str]:
    """To the first runs."""
    found: list[Span | str] = []
    for seed, place in list(arm.runs.items())[:MOST_RUNS]:
        found += [" " if found else "", code(str(seed), quote(f"{place}/"))]
    rest = len(arm.runs) - MOST_RUNS
    return [*found, f" and {rest:,} more"] if rest > 0 else found


def written(value: object) -> str:
    """As YAML has it."""
    words = {"None": "null", "True": "true", "False": "false"}
    return words.get(str(value), str(value))


def environment(study: Study) -> Table | None:
    found = study.environment
    facts = {name: value for name, value in found.items() if name != "versions"} | dict(found.get("versions") or {})
    columns = [Column(name="What", is_number=False), Column(name="Which", is_number=False)]
    rows = [[cell(str(name)), Cell(words=[code(str(value))])] for name, value in facts.items() if value is not None]
    return Table(caption=["Where the runs were trained, and with what."], columns=columns, rows=rows) if rows else None
