"""Two-level designs for screening: which techniques are on in which cell, and what is done about cells that cannot be trained.

The matrices are pyDOE's. Main effects: Plackett and Burman 1946 with its mirror image (fold-over), in which no interaction of two
factors is mixed with a main effect; a dozen factors take 24 cells. Interactions: a fraction of resolution V, in which no
interaction of two is mixed with another or with a main effect; five factors take 16 cells, eight 64, twelve 256.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Orders of Plackett–Burman matrices that pyDOE has.
ORDERS = (4, 8, 12, 16, 20, 24, 32, 40, 48)


def folded_plackett_burman(num_factors: int) -> NDArray[np.int64]:
    """±1 [cells, factors]: a matrix of order n and its mirror image, 2 n cells for up to n factors.

    The constant column, which the mirror image turns too, carries the n-th factor.

    Raises:
        ValueError: fewer than 2 factors, or more than 48.
    """
    from pydoe import pbdesign

    order = next((order for order in ORDERS if order >= num_factors), None)
    if order is None or num_factors < 2:
        raise ValueError(f"{num_factors} factors: a screening design takes 2 to {ORDERS[-1]}")
    half = np.column_stack([np.asarray(pbdesign(order - 1)), np.ones(order)]).astype(np.int64)
    return np.concatenate([half, -half])[:, :num_factors] if num_factors < order else np.concatenate([half, -half])


def resolution_five(num_factors: int) -> NDArray[np.int64]:
    """±1 [cells, factors]; all combinations for up to four factors.

    Raises:
        ValueError: fewer than 2 factors, or more than 12.
    """
    from pydoe import ff2n, fracfact_by_res

    if not 2 <= num_factors <= 12:
        raise ValueError(f"{num_factors} factors: a design of resolution V takes 2 to 12")
    made = ff2n(num_factors) if num_factors < 5 else fracfact_by_res(num_factors, 5)
    return np.asarray(made).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The cells that are trained, ±1 [cells, factors]; those that could not be, in words; and those that stand for others."""

    design: NDArray[np.int64]
    refused: tuple[tuple[int, str], ...]
    replaced: tuple[tuple[int, str], ...]


def legal_cells(
    names: Sequence[str], design: NDArray[np.int64], forbidden: Callable[[tuple[str, ...]], str | None], replace: bool
) -> Cells:
    """The design without the cells that `forbidden` (of the factors that are on) gives a reason against.

    With `replace` such a cell is traded for the legal one, a factor away, with which the whole determines main effects best (the
    largest determinant of X'X).

    Raises:
        ValueError: what is left does not determine every main effect.
    """
    reasons = [forbidden(_on(names, row)) for row in design]
    rows = [row for row, reason in zip(design, reasons, strict=True) if reason is None]
    refused, replaced = [], []
    for index, (row, reason) in enumerate(zip(design, reasons, strict=True)):
        if reason is None:
            continue
        factor = _best_flip(names, row, rows, forbidden) if replace else None
        if factor is None:
            refused.append((index, reason))
        else:
            rows.append(_flipped(row, factor))
            word = "without" if row[factor] > 0 else "with"
            replaced.append((index, f"{reason}; it is trained {word} {names[factor]}"))
    left = np.array(rows, np.int64).reshape(len(rows), len(names))
    if not len(rows) or _information(left) == -math.inf:
        raise ValueError(
            f"{len(design) - len(rows)} of {len(design)} cells are forbidden ({refused[0][1] if refused else reasons[0]}); "
            f"the others do not determine {len(names)} effects"
        )
    return Cells(design=left, refused=tuple(refused), replaced=tuple(replaced))


def _on(names: Sequence[str], row: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(name for name, sign in zip(names, row, strict=True) if sign > 0)


def _flipped(row: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    other = row.copy()
    other[factor] *= -1
    return other


def _best_flip(
    names: Sequence[str],
    row: NDArray[np.int64],
    rows: Sequence[NDArray[np.int64]],
    forbidden: Callable[[tuple[str, ...]], str | None],
) -> int | None:
    """The factor whose turning makes the cell legal and the design most informative; None where no single one does."""
    legal = [factor for factor in range(len(names)) if forbidden(_on(names, _flipped(row, factor))) is None]
    return max(legal, key=lambda factor: _information(np.array([*rows, _flipped(row, factor)])), default=None)


def _information(design: NDArray[np.int64]) -> float:
    """log det X'X of a constant and the main effects."""
    model = np.column_stack([np.ones(len(design)), design])
    sign, value = np.linalg.slogdet(model.T @ model)
    return float(value) if sign > 0 and np.linalg.matrix_rank(model) == model.shape[1] else -math.inf
