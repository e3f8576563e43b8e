"""Main effects and interactions of a two-level design, with intervals that know how noisy the runs are.

A factor's effect is the mean with it minus the mean without it, over all settings of the others: half of it is the coefficient of
its ±1 column in a linear model of cells and seeds. With two or more seeds the noise is that between seeds within a cell, seeds
being blocks; with one seed it is what the model leaves over, which holds real interactions too and makes intervals wider.
Adjusted p-values are of the studentized maximum modulus: exact for orthogonal columns, and too large otherwise (Šidák 1967).
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtr, stdtrit
from scipy.stats import chi

#: Two columns count as aliased from this correlation on.
ALIASED = 1e-6


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Of one factor, or of two together; in units of what was measured."""

    factors: tuple[str, ...]
    estimate: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    aliases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Coefficients of ±1 columns, the standard error of each, and the degrees of freedom of the noise."""

    coefficients: NDArray[np.float64]
    errors: NDArray[np.float64]
    df: int


def columns(design: NDArray[np.int64], terms: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
    """Products of the design's columns [cells, factors], one a term."""
    sizes = {len(term) for term in terms}
    if len(sizes) == 1:
        return design[:, np.array(terms)].prod(axis=2).astype(np.float64)
    return np.column_stack([design[:, list(term)].prod(axis=1) for term in terms]).astype(np.float64)


def fit(design: ArrayLike, values: ArrayLike, terms: Sequence[tuple[int, ...]]) -> Fit:
    """Least squares of `values` [cells, seeds] (NaN: missing) on the terms' columns, a constant a seed.

    Raises:
        ValueError: the cells that are left don't determine every term, or leave nothing to estimate noise from.
    """
    matrix, table = columns(np.asarray(design), terms), np.asarray(values, np.float64)
    cell, seed = np.nonzero(np.isfinite(table))
    blocks = (seed[:, None] == np.unique(seed)).astype(np.float64)
    model = np.column_stack([matrix[cell], blocks])
    y = table[cell, seed]
    if np.linalg.matrix_rank(model) < model.shape[1]:
        raise ValueError(f"{len(set(cell.tolist()))} finished cells do not determine {len(terms)} effects")
    solution, *_ = np.linalg.lstsq(model, y, rcond=None)
    # Noise: within cells where they have several seeds, around the model where they have one.
    whole = np.column_stack([cell[:, None] == np.unique(cell), blocks[:, 1:]]).astype(np.float64)
    finest = whole if len(y) > np.linalg.matrix_rank(whole) else model
    df = len(y) - int(np.linalg.matrix_rank(finest))
    if df < 1:
        raise ValueError(f"{len(y)} runs for {len(terms)} effects leave nothing to estimate noise from; add a seed")
    residual = y - finest @ np.linalg.lstsq(finest, y, rcond=None)[0]
    variance = float(residual @ residual) / df * np.linalg.inv(model.T @ model).diagonal()[: len(terms)]
    return Fit(coefficients=solution[: len(terms)], errors=np.sqrt(variance), df=df)


def effects(
    names: Sequence[str], design: ArrayLike, values: ArrayLike, with_pairs: bool = False, level: float = 0.95
) -> list[Effect]:
    """Every main effect and, `with_pairs`, every interaction of two: [cells, factors] of ±1, [cells, seeds] of results.

    A term that others before it determine completely is left out and stands among the aliases of those. Mains and pairs are a
    family each. An interaction is the difference of the one factor's effect with and without the other: both − first − second + neither.
    """
    matrix = np.asarray(design, np.int64)
    mains: list[tuple[int, ...]] = [(index,) for index in range(len(names))]
    pairs: list[tuple[int, ...]] = list(itertools.combinations(range(len(names)), 2)) if with_pairs else []
    kept = _estimable(matrix.tobytes(), matrix.shape[1], (*mains, *pairs))
    found = fit(matrix, values, kept)
    sizes = (len([term for term in kept if len(term) == 1]), len([term for term in kept if len(term) == 2]))
    others = [*mains, *itertools.combinations(range(len(names)), 2)]
    reach = float(stdtrit(found.df, (1 + level) / 2))
    made = []
    for term, coefficient, error in zip(kept, found.coefficients, found.errors, strict=True):
        t, scale = _t(float(coefficient), float(error)), 2 ** len(term)
        made.append(
            Effect(
                factors=tuple(names[index] for index in term),
                estimate=scale * float(coefficient),
                low=scale * float(coefficient - reach * error),
                high=scale * float(coefficient + reach * error),
                p_value=2 * float(stdtr(found.df, -t)),
                p_adjusted=1 - modulus_probability(t, sizes[len(term) - 1], found.df),
                aliases=tuple(aliases(names, matrix, term, others)),
            )
        )
    return made


def _t(coefficient: float, error: float) -> float:
    if error == 0:
        return math.inf if coefficient else 0.0
    return abs(coefficient) / error


@functools.cache
def _estimable(cells: bytes, num_factors: int, terms: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """The terms that those before them, and the constant, do not determine; `cells` are the bytes of a design."""
    design = np.frombuffer(cells, np.int64).reshape(-1, num_factors)
    kept: list[tuple[int, ...]] = []
    for term in terms:
        model = np.column_stack([np.ones(len(design)), columns(design, [*kept, term])])
        if np.linalg.matrix_rank(model) == model.shape[1]:
            kept.append(term)
    return kept


def aliases(
    names: Sequence[str], design: NDArray[np.int64], term: tuple[int, ...], others: Sequence[tuple[int, ...]]
) -> list[str]:
    """The terms whose columns go partly with this one's, with the share of them that its estimate holds: `a × b (-0.33)`."""
    by_size: dict[int, list[tuple[int, ...]]] = {}
    for other in others:
        by_size.setdefault(len(other), []).append(other)
    own, found = columns(design, [term])[:, 0], []
    for same_size in by_size.values():
        shares = own @ columns(design, same_size) / len(design)
        for other, share in zip(same_size, shares.tolist(), strict=True):
            if set(other) != set(term) and abs(share) > ALIASED:
                found.append(f"{' × '.join(names[index] for index in other)} ({share:+.2f})")
    return found


def modulus_probability(value: float, num: int, df: int) -> float:
    """P(max of `num` |t| with one estimate of variance on `df` degrees of freedom ≤ value), by quadrature.

    The studentized maximum modulus; by Šidák's inequality a lower bound for any correlation of the numerators.
    """
    return float(((2 * ndtr(value * _scales(df)) - 1) ** num).mean())


@functools.cache
def _scales(df: int) -> NDArray[np.float64]:
    """s / σ at evenly spaced shares of its distribution, chi on `df` degrees of freedom over √df."""
    return chi.ppf((np.arange(4000) + 0.5) / 4000, df) / math.sqrt(df)
