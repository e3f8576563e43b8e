"""The arms of each kind of study, and what each is compared with: pure functions of a list of techniques."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sota_exp.config.values import get_override_key
from sota_exp.study.technique import Technique, build_overrides

#: Distance between the seeds of the arms of a null study, so that they stay disjoint when seeds are added.
ARM_SEED_DISTANCE = 1000

BASELINE_ARM, FULL_ARM = "baseline", "full"


@dataclass(frozen=True, kw_only=True)
class PlannedArm:
    """A configuration as changes to the configuration of the study, and the name of the arm it is compared with.

    changes: its overrides that its reference does not have. overrides: all its overrides on top of the study's
    configuration. seed_offset: added to the seeds of the study. is_cell: whether it is a cell of a screening design.
    """

    name: str
    label: str
    reference: str | None
    changes: tuple[str, ...]
    overrides: tuple[str, ...]
    seed_offset: int = 0
    is_cell: bool = False


@dataclass(frozen=True, kw_only=True)
class StudyDesign:
    """The arms of a study in order, and what is estimated besides their differences.

    pairs: the arms a and b whose interaction is estimated, a+b − a − b + baseline. factors: technique → label of a
    screening design. design: its cells, ±1 [cells, factors]. refused: (name, reason) of arms that are left out.
    notes: how to read the result.
    """

    arms: tuple[PlannedArm, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    factors: Mapping[str, str] = field(default_factory=dict)
    design: NDArray[np.int64] | None = None
    refused: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


#: Maps the names of the techniques that are on to the reason why that configuration cannot be trained, or None.
ForbiddenCheck = Callable[[tuple[str, ...]], str | None]


def plan_arm(name: str, label: str, reference: PlannedArm | None, settings: tuple[str, ...]) -> PlannedArm:
    """An arm with the overrides `settings`, compared with `reference`."""
    changes = () if reference is None else tuple(each for each in settings if each not in reference.overrides)
    return PlannedArm(
        name=name,
        label=label,
        reference=None if reference is None else reference.name,
        changes=changes,
        overrides=settings,
    )


def plan_left_out_arm(technique: Technique, full: PlannedArm, settings: tuple[str, ...]) -> PlannedArm:
    """The arm without one technique, compared with the arm `full`."""
    return plan_arm(f"without_{technique.name}", f"Without {technique.label}", full, settings)


def plan_ladder(
    techniques: Sequence[Technique], forbidden: ForbiddenCheck = lambda on: None, absent: Sequence[Technique] = ()
) -> StudyDesign:
    """All off, then one more technique on per step, each step compared with the one before.

    forbidden: a technique that makes a step forbidden is left out of that step and of all later ones.
    absent: techniques of the recipe that are off in every arm.
    """
    every = [*absent, *techniques]
    arms = [plan_arm(BASELINE_ARM, "Baseline", None, build_overrides(every, []))]
    on: tuple[str, ...] = ()
    refused = []
    for technique in techniques:
        if (reason := forbidden((*on, technique.name))) is not None and forbidden(on) is None:
            refused.append((technique.name, reason))
            continue
        on = (*on, technique.name)
        arms.append(plan_arm(technique.name, technique.label, arms[-1], build_overrides(every, on)))
    note = "Each step is compared with the one before it: what a technique adds there depends on the steps before."
    return StudyDesign(arms=tuple(arms), refused=tuple(refused), notes=(note,))


def plan_leave_one_out(techniques: Sequence[Technique], choices: Mapping[str, str]) -> StudyDesign:
    """The study's configuration, with its `choices`, and the same without each technique that it has on."""
    on = [technique for technique in techniques if technique.is_on(choices)]
    full = plan_arm(FULL_ARM, "Everything", None, ())
    arms = [full]
    for technique in on:
        kept = [other.name for other in on if other is not technique and other.needs != technique.name]
        settings = build_overrides(on, kept)
        own = tuple(override for override in settings if get_override_key(override) in technique.keys)
        arms.append(plan_left_out_arm(technique, full, own))
    refused = [(f"without_{each.name}", "the recipe has it off") for each in techniques if each not in on]
    note = "Each arm leaves out one technique: where it is worse, the technique helps on top of all the others."
    return StudyDesign(arms=tuple(arms), refused=tuple(refused), notes=(note,))


def plan_one_change(techniques: Sequence[Technique], choices: Mapping[str, str]) -> StudyDesign:
    """The study's configuration, with its `choices`; without each technique that it has on, and with each other one."""
    on = [technique for technique in techniques if technique.is_on(choices)]
    whole = plan_leave_one_out(on, choices)
    added = []
    for technique in (each for each in techniques if each not in on):
        settings = build_overrides([*on, technique], [*(each.name for each in on), technique.name])
        own = tuple(override for override in settings if get_override_key(override) in technique.keys)
        added.append(plan_arm(f"with_{technique.name}", f"With {technique.label}", whole.arms[0], own))
    note = (
        "Each arm changes one thing in the whole: where an arm without a technique is worse, the technique helps on "
        "top of all the others; where an arm with a further one is better, that one would."
    )
    return StudyDesign(arms=(*whole.arms, *added), notes=(note,))


def plan_add_one_in(techniques: Sequence[Technique], absent: Sequence[Technique] = ()) -> StudyDesign:
    """All off, and each technique alone. absent: techniques that are off in every arm."""
    note = "Each arm is the baseline and one technique: what a technique does alone, not on top of the others."
    return StudyDesign(arms=_plan_baseline_and_each(techniques, absent), notes=(note,))


def _plan_baseline_and_each(techniques: Sequence[Technique], absent: Sequence[Technique]) -> tuple[PlannedArm, ...]:
    every = [*absent, *techniques]
    baseline = plan_arm(BASELINE_ARM, "Baseline", None, build_overrides(every, []))
    alone = [plan_arm(each.name, each.label, baseline, build_overrides(every, [each.name])) for each in techniques]
    return (baseline, *alone)


def plan_pairs(techniques: Sequence[Technique], absent: Sequence[Technique] = ()) -> StudyDesign:
    """All off, each technique alone, and each pair together; one interaction per pair.

    Raises:
        ValueError: fewer than two techniques.
    """
    if len(techniques) < 2:
        raise ValueError("pairs need at least two techniques in study.only")
    arms, pairs = list(_plan_baseline_and_each(techniques, absent)), []
    for one, other in itertools.combinations(techniques, 2):
        pairs.append((one.name, other.name))
        settings = build_overrides([*absent, *techniques], pairs[-1])
        arms.append(plan_arm("+".join(pairs[-1]), f"{one.label} and {other.label}", arms[0], settings))
    note = (
        "An interaction is both − first − second + neither: if it is for the better, the techniques need each other; "
        "if it is for the worse, they do the same work."
    )
    return StudyDesign(arms=tuple(arms), pairs=tuple(pairs), notes=(note,))


def plan_one_slot(slot: str, options: Sequence[str], reference: str) -> StudyDesign:
    """Every option of a slot, compared with the option `reference`."""
    first = plan_arm(reference, reference, None, (f"{slot}={reference}",))
    others = [option for option in options if option != reference]
    return StudyDesign(arms=(first, *(plan_arm(option, option, first, (f"{slot}={option}",)) for option in others)))


def plan_null(num_arms: int) -> StudyDesign:
    """Equal arms on disjoint seeds: all differences between them are noise."""
    first = plan_arm("equal_1", "Equal arm 1", None, ())
    others = [
        replace(plan_arm(f"equal_{num + 1}", f"Equal arm {num + 1}", first, ()), seed_offset=ARM_SEED_DISTANCE * num)
        for num in range(1, num_arms)
    ]
    note = (
        "All arms are the same configuration on other seeds: any verdict but `cannot be distinguished` would be false."
    )
    return StudyDesign(arms=(first, *others), notes=(note,))
