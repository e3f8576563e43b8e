"""Which arms a study has, each with the arm it is compared with: pure functions of a list of techniques.

A technique is two lists of overrides, one that turns it on and one that turns it off. A ladder turns them on one after the other,
leave-one-out takes each from the whole, add-one-in adds each to nothing, pairs adds each two, a screening design sets all at once.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.statistics.designs import Cells, folded_plackett_burman, legal_cells, resolution_five

#: Between the seeds of the arms of a null study, so that they stay disjoint however many are added.
DISJOINT = 1000

BASELINE, FULL = "baseline", "full"


@dataclass(frozen=True, kw_only=True)
class Technique:
    """What turns it on and off, in overrides.

    scaled: keys whose value with it is that without it times a number. beside: of another technique that has the same slot, what
    turns both on.
    """

    name: str
    label: str
    on: tuple[str, ...]
    off: tuple[str, ...]
    scaled: Mapping[str, float]
    beside: Mapping[str, tuple[str, ...]]

    def at(self, choices: Mapping[str, str], values: Mapping[str, Any]) -> "Technique":
        """The technique on top of a configuration: scaled values written out, from what the configuration has."""
        own = {key: float(values[key]) for key in self.scaled if isinstance(values.get(key), int | float)}
        is_on = self.is_on(choices)
        on = [f"{key}={value if is_on else value * self.scaled[key]:.10g}" for key, value in own.items()]
        off = [f"{key}={value / self.scaled[key] if is_on else value:.10g}" for key, value in own.items()]
        return replace(self, on=(*self.on, *on), off=(*self.off, *off), scaled={})

    def is_on(self, choices: Mapping[str, str]) -> bool:
        """Whether a configuration has the options that turn it on, alone or beside another."""
        return any(_has(choices, overrides) for overrides in (self.on, *self.beside.values()))

    @property
    def keys(self) -> set[str]:
        """What it sets."""
        return {key_of(override) for override in (*self.on, *self.off, *itertools.chain(*self.beside.values()))}


def key_of(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _has(choices: Mapping[str, str], overrides: Sequence[str]) -> bool:
    pairs = [override.partition("=") for override in overrides]
    return all(choices[key] == option for key, _, option in pairs if key in choices)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A configuration as changes to the study's own, and the name of the arm it is compared with.

    changes: what distinguishes it from its reference; overrides: all that distinguishes it from the study's own configuration.
    seed_offset: added to the study's seeds.
    """

    name: str
    label: str
    reference: str | None
    changes: tuple[str, ...]
    overrides: tuple[str, ...]
    seed_offset: int = 0
    is_cell: bool = False


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """Four arms whose both − first − second + neither says whether two techniques need or hinder each other."""

    factors: tuple[str, str]
    both: str
    first: str
    second: str
    neither: str


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A study's arms in order; what is estimated beside their differences; what was refused; what a reader should know."""

    arms: tuple[Arm, ...]
    interactions: tuple[Interaction, ...] = ()
    factors: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    design: NDArray[np.int64] | None = None
    with_pairs: bool = False
    refused: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def overrides(*parts: Sequence[str]) -> tuple[str, ...]:
    """Lists of overrides one after the other; of several for the same key the last stays, in its place."""
    found: dict[str, str] = {}
    for override in itertools.chain(*parts):
        key = key_of(override)
        found.pop(key, None)
        found[key] = override
    return tuple(found.values())


def set_to(techniques: Sequence[Technique], on: Sequence[str]) -> tuple[str, ...]:
    """Every technique on that is named, every other one off; what is off first, so that a preset doesn't undo what is on."""
    chosen = [technique for technique in techniques if technique.name in on]
    off = [item for technique in techniques if technique.name not in on for item in technique.off]
    both = [item for technique in chosen for other in on for item in technique.beside.get(other, ())]
    return overrides(off, [item for technique in chosen for item in technique.on], both)


def _beyond(reference: Sequence[str], settings: Sequence[str]) -> tuple[str, ...]:
    """The overrides of `settings` that `reference` doesn't have."""
    return tuple(override for override in settings if override not in reference)


def _arm(name: str, label: str, reference: Arm | None, settings: tuple[str, ...]) -> Arm:
    return Arm(
        name=name,
        label=label,
        reference=None if reference is None else reference.name,
        changes=() if reference is None else _beyond(reference.overrides, settings),
        overrides=settings,
    )


#: Of the techniques that are on, why that configuration can't be trained, or None.
Forbidden = Callable[[tuple[str, ...]], str | None]


def ladder(
    techniques: Sequence[Technique], forbidden: Forbidden = lambda on: None, absent: Sequence[Technique] = ()
) -> Blueprint:
    """All off, then one more on at each step, each compared with the step before; a forbidden step is left out of all to come.

    absent: techniques of the recipe that are off in every arm; so in the other kinds that start from nothing.
    """
    arms = [_arm(BASELINE, "Baseline", None, set_to([*absent, *techniques], []))]
    on: tuple[str, ...] = ()
    refused = []
    for technique in techniques:
        if (reason := forbidden((*on, technique.name))) is not None and forbidden(on) is None:
            refused.append((technique.name, reason))
            continue
        on = (*on, technique.name)
        arms.append(_arm(technique.name, technique.label, arms[-1], set_to([*absent, *techniques], on)))
    note = "Every step is compared with the one before it: what it adds there depends on the steps that came before."
    return Blueprint(arms=tuple(arms), refused=tuple(refused), notes=(note,))


def leave_one_out(techniques: Sequence[Technique], choices: Mapping[str, str]) -> Blueprint:
    """The study's own configuration, whose choices are given, and it without each technique that it has on."""
    on = [technique for technique in techniques if technique.is_on(choices)]
    names = [technique.name for technique in on]
    full = _arm(FULL, "Everything", None, ())
    arms = [full]
    for technique in on:
        settings = set_to(on, [name for name in names if name != technique.name])
        own = tuple(override for override in settings if key_of(override) in technique.keys)
        arms.append(_arm(f"without_{technique.name}", f"Without {technique.label}", full, own))
    refused = [(f"without_{each.name}", "the recipe has it off") for each in techniques if each not in on]
    note = "Each arm is the whole without one technique: where it hurts, the technique helps beside all the others."
    return Blueprint(arms=tuple(arms), refused=tuple(refused), notes=(note,))


def add_one_in(techniques: Sequence[Technique], absent: Sequence[Technique] = ()) -> Blueprint:
    """All off, and each technique alone."""
    note = "Each arm is the baseline and one technique: what a technique does alone, not beside the others."
    return Blueprint(arms=_baseline_and_each(techniques, absent), notes=(note,))


def _baseline_and_each(techniques: Sequence[Technique], absent: Sequence[Technique]) -> tuple[Arm, ...]:
    every = [*absent, *techniques]
    baseline = _arm(BASELINE, "Baseline", None, set_to(every, []))
    alone = [_arm(each.name, each.label, baseline, set_to(every, [each.name])) for each in techniques]
    return (baseline, *alone)


def pairs(techniques: Sequence[Technique], absent: Sequence[Technique] = ()) -> Blueprint:
    """All off, each technique alone, and each two together: an interaction for each two.

    Raises:
        ValueError: fewer than two techniques.
    """
    if len(techniques) < 2:
        raise ValueError("pairs need at least two techniques in study.only")
    arms, interactions = list(_baseline_and_each(techniques, absent)), []
    for one, other in itertools.combinations(techniques, 2):
        both, names = f"{one.name}+{other.name}", (one.name, other.name)
        arms.append(_arm(both, f"{one.label} and {other.label}", arms[0], set_to([*absent, *techniques], names)))
        interactions.append(Interaction(factors=names, both=both, first=one.name, second=other.name, neither=BASELINE))
    note = "An interaction is both − first − second + neither: for the better the two need each other, for the worse they do the same work."
    return Blueprint(arms=tuple(arms), interactions=tuple(interactions), notes=(note,))


def one_slot(slot: str, options: Sequence[str], reference: str) -> Blueprint:
    """Every option of a slot, compared with one of them."""
    first = _arm(reference, reference, None, (f"{slot}={reference}",))
    others = [option for option in options if option != reference]
    return Blueprint(arms=(first, *(_arm(option, option, first, (f"{slot}={option}",)) for option in others)))


def null(num_arms: int) -> Blueprint:
    """Equal arms on disjoint seeds: whatever differs between them is noise."""
    names = [f"equal_{index + 1}" for index in range(num_arms)]
    arms = [
        Arm(
            name=name,
            label=f"Equal arm {index + 1}",
            reference=names[0] if index else None,
            changes=(),
            overrides=(),
            seed_offset=DISJOINT * index,
        )
        for index, name in enumerate(names)
    ]
    note = (
        "All arms are the same configuration on other seeds: any verdict but `cannot be distinguished` would be false."
    )
    return Blueprint(arms=tuple(arms), notes=(note,))


def screening(
    techniques: Sequence[Technique],
    with_pairs: bool,
    forbidden: Forbidden,
    replaces: bool,
    beside: bool,
    absent: Sequence[Technique] = (),
) -> Blueprint:
    """Cells of a two-level design over all techniques; with `beside`, leave-one-out from all of them next to it.

    forbidden: of the techniques that are on, why that cell can't be trained, or None.

    Raises:
        ValueError: no design for so many techniques, or too few cells are left.
    """
    names = tuple(technique.name for technique in techniques)
    design = resolution_five(len(names)) if with_pairs else folded_plackett_burman(len(names))
    cells = legal_cells(names, design, forbidden, replaces)
    arms = [_cell(techniques, absent, index, row) for index, row in enumerate(cells.design)]
    notes = _screening_notes(len(design), len(names), with_pairs)
    if beside:
        full = _arm(FULL, "Everything", None, set_to([*absent, *techniques], names))
        arms += [full, *(_without(techniques, absent, technique, full) for technique in techniques)]
        notes += (
            "Main effects and leave-one-out answer other questions: a main effect is the mean over all settings of the other "
            "techniques, leave-one-out is the loss at one setting, all others on. They agree where techniques do not interact.",
        )
    return Blueprint(
        arms=tuple(arms),
        factors=names,
        labels={technique.name: technique.label for technique in techniques},
        design=cells.design,
        with_pairs=with_pairs,
        refused=_cell_reasons(cells),
        notes=notes,
    )


def _screening_notes(num_cells: int, num_factors: int, with_pairs: bool) -> tuple[str, ...]:
    kind = (
        "a fraction of resolution V: no interaction of two is mixed with another or with a main effect"
        if with_pairs
        else "Plackett and Burman's with its mirror image: no interaction of two is mixed with a main effect, "
        "but interactions are mixed with each other"
    )
    return (
        f"{num_factors} techniques in {num_cells} cells by a design of {kind}.",
        "An effect is the mean with a technique minus the mean without it, over all settings of the others in the design.",
    )


def _cell_reasons(cells: Cells) -> tuple[tuple[str, str], ...]:
    refused = [(f"cell {index + 1} of the design", reason) for index, reason in cells.refused]
    return (*refused, *((f"cell {index + 1} of the design", reason) for index, reason in cells.replaced))


def _cell(techniques: Sequence[Technique], absent: Sequence[Technique], index: int, row: NDArray[np.int64]) -> Arm:
    on = [technique for technique, sign in zip(techniques, row, strict=True) if sign > 0]
    settings = set_to([*absent, *techniques], [technique.name for technique in on])
    return Arm(
        name=f"cell_{index + 1:02}",
        label=f"Cell {index + 1}",
        reference=None,
        changes=settings,
        overrides=settings,
        is_cell=True,
    )


def _without(techniques: Sequence[Technique], absent: Sequence[Technique], left_out: Technique, full: Arm) -> Arm:
    names = [technique.name for technique in techniques if technique is not left_out]
    return _arm(f"without_{left_out.name}", f"Without {left_out.label}", full, set_to([*absent, *techniques], names))


def of_slots(choices: Mapping[str, str], neutral: Mapping[str, str], taken: set[str]) -> list[Technique]:
    """A technique for every slot whose option is not its neutral one, but for those that are `taken`."""
    return [
        Technique(
            name=option,
            label=f"{slot.split('/')[-1].replace('_', ' ')}={option}",
            on=(f"{slot}={option}",),
            off=(f"{slot}={neutral[slot]}",),
            scaled={},
            beside={},
        )
        for slot, option in choices.items()
        if slot in neutral and option != neutral[slot] and slot not in taken
    ]
