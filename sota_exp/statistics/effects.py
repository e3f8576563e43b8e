"""Main effects and interactions of a two-level design, with confidence intervals.

A factor's effect is the mean with it minus the mean without it, averaged over all settings of the others: twice the
coefficient of its ±1 column in a linear model with seeds as blocks. With two or more seeds the error variance is
estimated between seeds within cells; with one seed it is the residual variance of the model, which contains real
interactions too and widens the intervals. Adjusted p-values use the studentized maximum modulus: exact for orthogonal
columns, conservative otherwise (Šidák 1967). Main effects and interactions are one family.
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

from sota_exp.statistics.groups import NO_SPREAD

#: Two columns with a larger absolute correlation are aliased.
MIN_ALIAS_CORRELATION = 1e-6


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A main effect (one factor) or an interaction (two factors), with its interval, in the unit of the response.

    interval: None where the responses have no noise to estimate it from; the p-values are then 1.

    p_adjusted: adjusted for all main effects and interactions together. standard_error, df: of the estimate, and the
    degrees of freedom of its variance. aliases: see `find_aliases`.
    """

    factors: tuple[str, ...]
    estimate: float
    interval: tuple[float, float] | None
    p_value: float
    p_adjusted: float
    standard_error: float
    df: int
    aliases: tuple[str, ...]


def compute_term_columns(design: NDArray[np.int64], terms: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
    """One column per term, the product of its factors' columns: design ±1 [cells, factors] → [cells, terms]."""
    return np.column_stack([design[:, list(term)].prod(axis=1) for term in terms]).astype(np.float64)


def fit_least_squares(
    design: ArrayLike, values: ArrayLike, terms: Sequence[tuple[int, ...]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Least squares of `values` [cells, seeds] (NaN: missing) on the terms' columns, with one intercept per seed.

    Returns the coefficients [terms], their standard errors [terms], and the error degrees of freedom.

    Raises:
        ValueError: the finished cells do not determine every term, or no degrees of freedom are left for the noise.
    """
    matrix, response = compute_term_columns(np.asarray(design), terms), np.asarray(values, np.float64)
    cell, seed = np.nonzero(np.isfinite(response))
    blocks = (seed[:, None] == np.unique(seed)).astype(np.float64)
    model = np.column_stack([matrix[cell], blocks])
    y = response[cell, seed]
    if np.linalg.matrix_rank(model) < model.shape[1]:
        raise ValueError(f"{len(set(cell.tolist()))} finished cells do not determine {len(terms)} effects")
    solution, *_ = np.linalg.lstsq(model, y, rcond=None)
    # Noise: within cells where cells have several seeds, else the residuals of the model.
    saturated = np.column_stack([cell[:, None] == np.unique(cell), blocks[:, 1:]]).astype(np.float64)
    noise_model = saturated if len(y) > np.linalg.matrix_rank(saturated) else model
    df = len(y) - int(np.linalg.matrix_rank(noise_model))
    if df < 1:
        raise ValueError(f"{len(y)} runs for {len(terms)} effects leave nothing to estimate noise from; add a seed")
    residual = y - noise_model @ np.linalg.lstsq(noise_model, y, rcond=None)[0]
    residual[np.abs(residual) < NO_SPREAD * max(1.0, float(np.abs(y).max()))] = 0.0  # but for rounding
    variance = float(residual @ residual) / df * np.linalg.inv(model.T @ model).diagonal()[: len(terms)]
    return solution[: len(terms)], np.sqrt(variance), df


def compute_effects(
    names: Sequence[str], design: ArrayLike, values: ArrayLike, with_pairs: bool = False, level: float = 0.95
) -> list[Effect]:
    """Every main effect and, `with_pairs`, every two-factor interaction.

    design: ±1 [cells, factors]. values: responses [cells, seeds], NaN where missing. A term that earlier terms
    determine completely is left out and listed among their aliases.
    An interaction is the difference of one factor's effect with and without the other: both − first − second + neither.
    """
    matrix = np.asarray(design, np.int64)
    mains = list(itertools.combinations(range(len(names)), 1))
    terms = [*mains, *itertools.combinations(range(len(names)), 2)]
    kept = _estimable(matrix.tobytes(), matrix.shape[1], tuple(terms if with_pairs else mains))
    coefficients, standard_errors, df = fit_least_squares(matrix, values, kept)
    critical = float(stdtrit(df, (1 + level) / 2))
    estimates = []
    for term, coefficient, error in zip(kept, coefficients, standard_errors, strict=True):
        t, scale = _compute_t(float(coefficient), float(error)), 2 ** len(term)
        estimates.append(
            Effect(
                factors=tuple(names[index] for index in term),
                estimate=scale * float(coefficient),
                interval=(scale * float(coefficient - critical * error), scale * float(coefficient + critical * error))
                if error
                else None,
                p_value=2 * float(stdtr(df, -t)),
                p_adjusted=1 - maximum_modulus_cdf(t, len(kept), df),
                standard_error=scale * float(error),
                df=df,
                aliases=_find_aliases(tuple(names), matrix.tobytes(), term, tuple(terms)),
            )
        )
    return estimates


def compute_contrasts(names: Sequence[str], design: ArrayLike, effects: Sequence[Effect]) -> NDArray[np.float64]:
    """The weights of the cells' means in the estimates of effects of `compute_effects`, float [effects, cells].

    design: ±1 [cells, factors], all of whose cells have equally many seeds.
    """
    matrix, places = np.asarray(design, np.int64), {name: index for index, name in enumerate(names)}
    terms = [tuple(places[factor] for factor in effect.factors) for effect in effects]
    model = np.column_stack([compute_term_columns(matrix, terms), np.ones(len(matrix))])
    weights: NDArray[np.float64] = np.linalg.pinv(model)[:-1] * [[2 ** len(term)] for term in terms]
    return weights


def _compute_t(coefficient: float, error: float) -> float:
    return abs(coefficient) / error if error else 0.0


@functools.cache
def _estimable(cells: bytes, num_factors: int, terms: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """The terms that are linearly independent of the intercept and of earlier terms; `cells`: the bytes of a design."""
    design = _read_cells(cells, num_factors)
    kept: list[tuple[int, ...]] = []
    for term in terms:
        model = np.column_stack([np.ones(len(design)), compute_term_columns(design, [*kept, term])])
        if np.linalg.matrix_rank(model) == model.shape[1]:
            kept.append(term)
    return kept


@functools.cache
def _find_aliases(
    names: tuple[str, ...], cells: bytes, term: tuple[int, ...], others: tuple[tuple[int, ...], ...]
) -> tuple[str, ...]:
    return tuple(find_aliases(names, _read_cells(cells, len(names)), term, others))


def _read_cells(cells: bytes, num_factors: int) -> NDArray[np.int64]:
    return np.frombuffer(cells, np.int64).reshape(-1, num_factors)


def find_aliases(
    names: Sequence[str], design: NDArray[np.int64], term: tuple[int, ...], others: Sequence[tuple[int, ...]]
) -> list[str]:
    """The terms whose columns correlate with this term's, and their share in its estimate: `a × b (-0.33)`.

    design: ±1 [cells, factors].
    """
    shares = compute_term_columns(design, [term])[:, 0] @ compute_term_columns(design, others) / len(design)
    return [
        f"{' × '.join(names[index] for index in other)} ({share:+.2f})"
        for other, share in zip(others, shares.tolist(), strict=True)
        if set(other) != set(term) and abs(share) > MIN_ALIAS_CORRELATION
    ]


def maximum_modulus_cdf(value: float, num: int, df: int) -> float:
    """P(studentized maximum modulus ≤ value): of `num` |t| that share a variance estimate on `df` degrees of freedom.

    By quadrature. A lower bound for any correlation of the numerators (Šidák's inequality).
    """
    return float(((2 * ndtr(value * _scales(df)) - 1) ** num).mean())


@functools.cache
def _scales(df: int) -> NDArray[np.float64]:
    """Evenly spaced quantiles [4000] of s / σ, whose distribution is chi on `df` degrees of freedom over √df."""
    return chi.ppf((np.arange(4000) + 0.5) / 4000, df) / math.sqrt(df)
