"""Two-level designs: orthogonal, of the stated resolution; forbidden cells are refused or replaced."""

import itertools

import numpy as np
import pytest

from sota_exp.statistics.designs import (
    build_plackett_burman_design,
    build_resolution_five_design,
    remove_forbidden_cells,
)


def terms(design: np.ndarray, order: int) -> dict[tuple[int, ...], np.ndarray]:
    return {term: design[:, list(term)].prod(1) for term in itertools.combinations(range(design.shape[1]), order)}


@pytest.mark.parametrize(
    ("num", "cells"), [(2, 8), (5, 16), (11, 24), (12, 24), (13, 32), (20, 40), (24, 48), (25, 64)]
)
def test_main_effects_are_orthogonal_and_free_of_two_factor_interactions(num: int, cells: int) -> None:
    design = build_plackett_burman_design(num)
    assert design.shape == (cells, num) and set(np.unique(design)) == {-1, 1}
    assert (design.T @ design == cells * np.eye(num)).all() and (design.sum(0) == 0).all()
    if num <= 13:
        pairs = np.column_stack(list(terms(design, 2).values()))
        assert (design.T @ pairs == 0).all()


@pytest.mark.parametrize(("num", "cells"), [(2, 4), (4, 16), (5, 16), (6, 32), (8, 64)])
def test_resolution_five_keeps_mains_and_two_factor_interactions_apart(num: int, cells: int) -> None:
    design = build_resolution_five_design(num)
    assert design.shape == (cells, num)
    columns = np.column_stack([*terms(design, 1).values(), *terms(design, 2).values()])
    assert (columns.T @ columns == cells * np.eye(columns.shape[1])).all() and (columns.sum(0) == 0).all()


@pytest.mark.parametrize(
    ("make", "num"),
    [(build_plackett_burman_design, 1), (build_plackett_burman_design, 49), (build_resolution_five_design, 13)],
)
def test_too_few_or_too_many_factors_are_refused(make: object, num: int) -> None:
    with pytest.raises(ValueError, match=f"{num} factors"):
        make(num)  # type: ignore[operator]


NAMES = tuple("abcdef")


def no_a_with_b(on: tuple[str, ...]) -> str | None:
    return "a excludes b" if {"a", "b"} <= set(on) else None


def test_forbidden_cells_are_left_out_with_the_reason() -> None:
    design = build_plackett_burman_design(6)
    found = remove_forbidden_cells(NAMES, design, no_a_with_b, replace=False)
    assert len(found.design) + len(found.refused) == len(design) and found.refused[0][1] == "a excludes b"
    assert not ((found.design[:, 0] > 0) & (found.design[:, 1] > 0)).any()


def test_forbidden_cells_are_replaced_by_legal_neighbours() -> None:
    design = build_plackett_burman_design(6)
    found = remove_forbidden_cells(NAMES, design, no_a_with_b, replace=True)
    assert len(found.design) == len(design) and not found.refused and found.replaced
    assert not ((found.design[:, 0] > 0) & (found.design[:, 1] > 0)).any()
    assert "it is trained without" in found.replaced[0][1]


def test_a_design_that_no_longer_determines_its_effects_is_refused() -> None:
    with pytest.raises(ValueError, match="do not determine"):
        remove_forbidden_cells(
            NAMES, build_plackett_burman_design(6), lambda on: "never a" if "a" in on else None, replace=False
        )
