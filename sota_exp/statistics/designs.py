"""Two-level screening designs: which techniques are on in which cell, and how forbidden cells are replaced.

The matrices come from pyDOE. Main effects: Plackett and Burman 1946 with fold-over (its mirror image), in which no
two-factor interaction is aliased with a main effect; twelve factors take 24 cells. Interactions: a fractional factorial
design of resolution V, in which no two-factor interaction is aliased with another or with a main effect; five factors
take 16 cells, eight take 64, twelve take 256.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Orders of the Plackett–Burman matrices in pyDOE.
PLACKETT_BURMAN_ORDERS = (4, 8, 12, 16, 20, 24, 32, 40, 48)


def build_plackett_burman_design(num_factors: int) -> NDArray[np.int64]:
    """A Plackett–Burman design with fold-over: ±1 [cells, factors], 2n cells for up to n factors, n the matrix order.

    The constant column, whose sign the mirror image flips as well, is used for the n-th factor.

    Raises:
        ValueError: there are fewer than 2 factors, or more than 48.
    """
    from pydoe import pbdesign

    order = next((order for order in PLACKETT_BURMAN_ORDERS if order >= num_factors), None)
    if order is None or num_factors < 2:
        raise ValueError(f"{num_factors} factors: a screening design takes 2 to {PLACKETT_BURMAN_ORDERS[-1]}")
    half = np.column_stack([np.asarray(pbdesign(order - 1)), np.ones(order)]).astype(np.int64)
    return np.concatenate([half, -half])[:, :num_factors]


def build_resolution_five_design(num_factors: int) -> NDArray[np.int64]:
    """A design of resolution V: ±1 [cells, factors]; the full factorial for up to four factors.

    Raises:
        ValueError: there are fewer than 2 factors, or more than 12.
    """
    from pydoe import ff2n, fracfact_by_res

    if not 2 <= num_factors <= 12:
        raise ValueError(f"{num_factors} factors: a design of resolution V takes 2 to 12")
    design = ff2n(num_factors) if num_factors < 5 else fracfact_by_res(num_factors, 5)
    return np.asarray(design).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class DesignCells:
    """The cells of a design that are trained, and what happened to the forbidden ones.

    design: ±1 [cells, factors]. refused, replaced: (row of the original design, reason) of each cell that was left out,
    or replaced by a neighbour.
    """

    design: NDArray[np.int64]
    refused: tuple[tuple[int, str], ...]
    replaced: tuple[tuple[int, str], ...]


def remove_forbidden_cells(
    names: Sequence[str], design: NDArray[np.int64], forbidden: Callable[[tuple[str, ...]], str | None], replace: bool
) -> DesignCells:
    """The design without its forbidden cells.

    design: ±1 [cells, factors]. forbidden: returns the reason why these factors cannot be on together, or None.
    replace: exchange a forbidden cell for the legal cell one factor away that maximizes det X'X (D-optimality).

    Raises:
        ValueError: the remaining cells do not determine every main effect.
    """
    reasons = [forbidden(_list_factors_on(names, row)) for row in design]
    rows = [row for row, reason in zip(design, reasons, strict=True) if reason is None]
    refused, replaced = [], []
    for index, (row, reason) in enumerate(zip(design, reasons, strict=True)):
        if reason is None:
            continue
        factor = _find_best_flip(names, row, rows, forbidden) if replace else None
        if factor is None:
            refused.append((index, reason))
        else:
            rows.append(_flip(row, factor))
            change = "without" if row[factor] > 0 else "with"
            replaced.append((index, f"{reason}; it is trained {change} {names[factor]}"))
    trained = np.array(rows, np.int64).reshape(len(rows), len(names))
    if not len(rows) or _compute_information(trained) == -math.inf:
        raise ValueError(
            f"{len(design) - len(rows)} of {len(design)} cells are forbidden "
            f"({refused[0][1] if refused else reasons[0]}); the others do not determine {len(names)} effects"
        )
    return DesignCells(design=trained, refused=tuple(refused), replaced=tuple(replaced))


def _list_factors_on(names: Sequence[str], row: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(name for name, sign in zip(names, row, strict=True) if sign > 0)


def _flip(row: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    other = row.copy()
    other[factor] *= -1
    return other


def _find_best_flip(
    names: Sequence[str],
    row: NDArray[np.int64],
    rows: Sequence[NDArray[np.int64]],
    forbidden: Callable[[tuple[str, ...]], str | None],
) -> int | None:
    """The factor whose flip makes the cell legal and the design most informative; None where no single flip does."""
    legal = [factor for factor in range(len(names)) if forbidden(_list_factors_on(names, _flip(row, factor))) is None]
    return max(legal, key=lambda factor: _compute_information(np.array([*rows, _flip(row, factor)])), default=None)


def _compute_information(design: NDArray[np.int64]) -> float:
    """log det X'X of the model with an intercept and the main effects; -inf where it is singular."""
    model = np.column_stack([np.ones(len(design)), design])
    sign, value = np.linalg.slogdet(model.T @ model)
    return float(value) if sign > 0 and np.linalg.matrix_rank(model) == model.shape[1] else -math.inf
