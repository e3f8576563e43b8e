"""Wrong verdicts, runs and power of studies of two stages, simulated, beside leave-one-out of every technique.

python -m benchmarks.two_stage [FAMILIES]: Markdown tables, in minutes for 2,000 families; the same numbers every time.
A family is a study: stage 1 has one run per cell of a screening design, stage 2 leaves out what it follows, with other
runs. It is wrong if any technique without an effect has a verdict. Effects are in standard deviations of a paired
difference; techniques do not interact, so that a main effect is what is lost without the technique.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from benchmarks.anytime import (
    ALPHA,
    COVERED_LAWS,
    PLANNED_LOOKS,
    UNCOVERED_LAWS,
    Bools,
    Floats,
    Law,
    draw_normal,
    format_table,
    look_at_any_time,
    test_at_looks,
)
from sota_exp.statistics.designs import build_plackett_burman_design
from sota_exp.statistics.interim import compute_look_levels
from sota_exp.statistics.power import DEFAULT_POWER, find_num_seeds
from sota_exp.statistics.selection import FOLLOW_LEVEL, compute_share_followed

MOST_SEEDS = 60

#: Name → seeds at each look, with its level; none: at any time.
RULES: Mapping[str, Mapping[int, float]] = {
    "fixed, 8 seeds": {8: ALPHA},
    "planned, 8, 10, 12 seeds": dict(zip(PLANNED_LOOKS, compute_look_levels(PLANNED_LOOKS), strict=True)),
    f"any time, up to {MOST_SEEDS} seeds": {},
}

#: Effects of the techniques of a family.
FAMILIES: Mapping[str, Floats] = {
    "2 techniques": np.zeros(2),
    "5 techniques": np.zeros(5),
    "12 techniques": np.zeros(12),
    "12 techniques, 6 with effects": np.array([1.5, 1.5, -1.5] * 2 + [0.0] * 6),
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Simulated runs: of the cells [families, cells], and differences of stage 2 [families, seeds, techniques]."""

    cells: Floats
    differences: Floats


def draw_runs(law: Law, num_families: int, effects: Floats, num_seeds: int = MOST_SEEDS) -> Drawn:
    """Runs of both stages, with generators of their own."""
    num, design = len(effects), build_plackett_burman_design(len(effects))
    first, second = (np.random.default_rng([stage, num]) for stage in (1, 2))
    values = law(second, (num_families, num_seeds, num + 1))
    found = values[..., 1:] - values[..., :1]
    sizes = effects * found.std(axis=(0, 1))
    cells = law(first, (num_families, 1, len(design)))[:, 0] + (design > 0) @ sizes
    return Drawn(cells=cells, differences=found - sizes)


def follow(cells: Floats, num_techniques: int) -> Bools:
    """What `select_effects` chooses after `compute_effects`, for all families at once: [families, techniques]."""
    design = build_plackett_burman_design(num_techniques)
    model = np.column_stack([design, np.ones(len(design))])
    coefficients = cells @ np.linalg.pinv(model).T
    df = len(design) - model.shape[1]
    variance = ((cells - coefficients @ model.T) ** 2).sum(1, keepdims=True) / df
    errors = np.sqrt(variance * np.linalg.inv(model.T @ model).diagonal())
    found: Bools = 2 * stdtr(df, -np.abs(coefficients / errors))[:, :-1] <= FOLLOW_LEVEL
    return found


def decide(differences: Floats, followed: Bools, looks: Mapping[int, float]) -> Floats:
    """Seeds until each technique that is followed is decided [families, techniques], infinite where never."""
    seeds, counts = np.full(followed.shape, np.inf), followed.sum(1)
    order = np.argsort(~followed, axis=1, kind="stable")  # Those that are followed come first.
    for num in set(counts[counts > 0].tolist()):
        rows, kept = np.flatnonzero(counts == num), order[counts == num, :num]
        part = np.take_along_axis(differences[rows], kept[:, None], 2)
        seeds[rows[:, None], kept] = test_at_looks(part, looks) if looks else look_at_any_time(part)
    return seeds


def count_runs(seeds: Floats, followed: Bools, looks: Mapping[int, float], num_cells: int) -> float:
    """The mean runs of a study; everything on has as many as the technique with the most."""
    most = max(looks) if looks else MOST_SEEDS
    used = np.where(followed, np.minimum(seeds, most), 0)
    return float((used.sum(1) + used.max(1)).mean()) + num_cells


def compute_share_of_wrong_families(
    law: Law, effects: Floats, looks: Mapping[int, float], num_families: int, has_stages: bool = True
) -> float:
    """The share of families in which a technique without an effect is decided."""
    drawn = draw_runs(law, num_families, effects)
    followed = follow(drawn.cells, len(effects)) if has_stages else np.ones((num_families, len(effects)), bool)
    return float(np.isfinite(decide(drawn.differences, followed, looks)[:, effects == 0]).any(1).mean())


def print_wrong_families(laws: Mapping[str, Law], num_families: int) -> None:
    rows = []
    for name, law in laws.items():
        for words, effects in FAMILIES.items():
            shares = [compute_share_of_wrong_families(law, effects, looks, num_families) for looks in RULES.values()]
            rows.append([name, words, *(f"{100 * share:.1f}" for share in shares)])
    print(format_table(["noise", "techniques", *RULES], rows), flush=True)


def print_shares_followed(num_families: int) -> None:
    """Percent of techniques that are followed, by effect and noise; the formula is that of the plan."""
    rows = []
    for num, label in ((5, "5"), (12, "12")):
        for effect in (0.0, 0.5, 1.0, 2.0):
            effects = np.array([effect] + [0.0] * (num - 1))
            found = [follow(draw_runs(law, num_families, effects, 8).cells, num)[:, 0] for law in COVERED_LAWS.values()]
            planned = compute_share_followed(effect, len(build_plackett_burman_design(num)), num)
            shares = [planned, *(each.mean() for each in found)]
            rows.append([label, f"{effect:g}", *(f"{100 * share:.0f}" for share in shares)])
    print(format_table(["techniques", "effect, sd", "by the plan", *COVERED_LAWS], rows), flush=True)


def compare(effects: Floats, looks: Mapping[int, float], num_families: int) -> list[tuple[float, float]]:
    """Mean runs and share of effects that are decided: of leave-one-out, and of two stages."""
    drawn = draw_runs(draw_normal, num_families, effects, max(looks) if looks else MOST_SEEDS)
    whole = np.ones((num_families, len(effects)), bool)
    found = []
    for followed, num_cells in ((whole, 0), (follow(drawn.cells, len(effects)), drawn.cells.shape[1])):
        seeds = decide(drawn.differences, followed, looks)
        runs = count_runs(seeds, followed, looks, num_cells)
        found.append((runs, float(np.isfinite(seeds[:, effects != 0]).mean())))
    return found


def print_runs_and_power(num_families: int) -> None:
    """Twelve techniques, 1 or 3 with an effect, normal noise: the same seeds in both kinds of study.

    A quarter of the families, since a sign-flip test of many seeds is slow.
    """
    rows = []
    for num in (1, 3):
        for effect in (0.5, 1.0, 2.0):
            effects = np.array([effect] * num + [0.0] * (12 - num))
            enough = find_num_seeds(effect, 1.0, 12) or 0
            looks: dict[str, Mapping[int, float]] = {"8 seeds": {8: ALPHA}}
            if enough > 8:
                looks[f"{enough} seeds: leave-one-out shows {100 * DEFAULT_POWER:.0f} %"] = {enough: ALPHA}
            for words, rule in (looks | {f"any time, up to {MOST_SEEDS}": {}}).items():
                (runs, power), (fewer, other) = compare(effects, rule, num_families // 4)
                shares = [f"{100 * share:.0f}" for share in (power, other)]
                rows.append([str(num), f"{effect:g}", words, f"{runs:.0f}", f"{fewer:.0f}", *shares])
    heading = ["with effects", "effect, sd", "seeds", "runs", "runs, two stages", "shown, %", "shown, two stages, %"]
    print(format_table(heading, rows), flush=True)


#: Title → what prints the table.
TABLES: Mapping[str, Callable[[int], None]] = {
    "Wrong families, %, of studies of two stages, where differences are symmetric without an effect, as promised": (
        lambda num: print_wrong_families(COVERED_LAWS, num)
    ),
    "The same where every second arm has noise of another shape and the same mean, which no rule covers": (
        lambda num: print_wrong_families(UNCOVERED_LAWS, num)
    ),
    "Techniques that are followed, %, after one run per cell": print_shares_followed,
    "Runs and power, twelve techniques, leave-one-out and two stages": print_runs_and_power,
}


def main(num_families: int) -> None:
    for title, show in TABLES.items():
        print(f"\n{title}; {num_families:,} families:\n")
        show(num_families)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
