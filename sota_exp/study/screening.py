"""The arms of a screening study: one arm per cell of a two-level design over all techniques."""

from collections.abc import Sequence
from dataclasses import replace

from sota_exp.statistics.designs import (
    build_plackett_burman_design,
    build_resolution_five_design,
    remove_forbidden_cells,
)
from sota_exp.study.plan import FULL_ARM, ForbiddenCheck, StudyDesign, plan_arm, plan_left_out_arm
from sota_exp.study.technique import Technique, build_overrides


def plan_screening(
    techniques: Sequence[Technique],
    with_pairs: bool,
    forbidden: ForbiddenCheck,
    replaces: bool,
    beside: bool,
    absent: Sequence[Technique] = (),
) -> StudyDesign:
    """The cells of a two-level design.

    with_pairs: a design that estimates interactions of two techniques too. replaces: whether a forbidden cell is
    replaced or only refused. beside: add leave-one-out arms. absent: techniques that are off in every arm.
    """
    names = tuple(technique.name for technique in techniques)
    design = build_resolution_five_design(len(names)) if with_pairs else build_plackett_burman_design(len(names))
    cells = remove_forbidden_cells(names, design, forbidden, replaces)
    every, arms = [*absent, *techniques], []
    for num, row in enumerate(cells.design, start=1):
        settings = build_overrides(every, [name for name, sign in zip(names, row, strict=True) if sign > 0])
        cell = plan_arm(f"cell_{num:02}", f"Cell {num}", None, settings)
        arms.append(replace(cell, changes=settings, is_cell=True))
    notes = _list_design_notes(len(design), len(names), with_pairs)
    if beside:
        full = plan_arm(FULL_ARM, "Everything", None, build_overrides(every, names))
        arms.append(full)
        for left_out in techniques:
            on = [name for name in names if name != left_out.name]
            arms.append(plan_left_out_arm(left_out, full, build_overrides(every, on)))
        notes += (
            "Main effects and leave-one-out answer different questions: a main effect is the mean over all settings of "
            "the other techniques, leave-one-out is the loss at one setting, all others on. They agree where "
            "techniques do not interact.",
        )
    return StudyDesign(
        arms=tuple(arms),
        factors={technique.name: technique.label for technique in techniques},
        design=cells.design,
        refused=tuple(
            (f"cell {index + 1} of the design", reason) for index, reason in (*cells.refused, *cells.replaced)
        ),
        notes=notes,
    )


def _list_design_notes(num_cells: int, num_factors: int, with_pairs: bool) -> tuple[str, ...]:
    kind = (
        "a fraction of resolution V: no two-factor interaction is aliased with another one or with a main effect"
        if with_pairs
        else "a folded-over Plackett-Burman design: no two-factor interaction is aliased with a main effect, but "
        "interactions are aliased with each other"
    )
    return (
        f"{num_factors} techniques in {num_cells} cells; the design is {kind}.",
        "An effect is the mean with a technique minus the mean without it, over all settings of the others.",
    )
