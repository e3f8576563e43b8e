"""The arms of a screening study: one arm per cell of a two-level design over all techniques."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sota_exp.statistics.designs import Cells, folded_plackett_burman, legal_cells, resolution_five
from sota_exp.study.plan import FULL, Arm, Blueprint, Forbidden, build_arm, leave_out
from sota_exp.study.technique import Technique, set_to


def screening(
    techniques: Sequence[Technique],
    with_pairs: bool,
    forbidden: Forbidden,
    replaces: bool,
    beside: bool,
    absent: Sequence[Technique] = (),
) -> Blueprint:
    """The cells of a two-level design.

    with_pairs: a design that estimates interactions of two techniques too. replaces: whether a forbidden cell is
    replaced or only refused. beside: add leave-one-out arms. absent: techniques that are off in every arm.

    Raises:
        ValueError: there is no design for this number of techniques, or too few cells are left.
    """
    names = tuple(technique.name for technique in techniques)
    design = resolution_five(len(names)) if with_pairs else folded_plackett_burman(len(names))
    cells = legal_cells(names, design, forbidden, replaces)
    arms = [_build_cell(techniques, absent, index, row) for index, row in enumerate(cells.design)]
    notes = _design_notes(len(design), len(names), with_pairs)
    if beside:
        every = [*absent, *techniques]
        full = build_arm(FULL, "Everything", None, set_to(every, names))
        arms.append(full)
        for left_out in techniques:
            on = [name for name in names if name != left_out.name]
            arms.append(leave_out(left_out, full, set_to(every, on)))
        notes += (
            "Main effects and leave-one-out answer different questions: a main effect is the mean over all settings of "
            "the other techniques, leave-one-out is the loss at one setting, all others on. They agree where "
            "techniques do not interact.",
        )
    return Blueprint(
        arms=tuple(arms),
        factors=names,
        labels={technique.name: technique.label for technique in techniques},
        design=cells.design,
        with_pairs=with_pairs,
        refused=_refused_cells(cells),
        notes=notes,
    )


def _design_notes(num_cells: int, num_factors: int, with_pairs: bool) -> tuple[str, ...]:
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


def _refused_cells(cells: Cells) -> tuple[tuple[str, str], ...]:
    return tuple((f"cell {index + 1} of the design", reason) for index, reason in (*cells.refused, *cells.replaced))


def _build_cell(
    techniques: Sequence[Technique], absent: Sequence[Technique], index: int, row: NDArray[np.int64]
) -> Arm:
    on = [technique.name for technique, sign in zip(techniques, row, strict=True) if sign > 0]
    settings = set_to([*absent, *techniques], on)
    return Arm(
        name=f"cell_{index + 1:02}",
        label=f"Cell {index + 1}",
        reference=None,
        changes=settings,
        overrides=settings,
        is_cell=True,
    )
