"""Coverage of the three intervals of a difference, wrong families and power of verdicts on new images, simulated.

python -m benchmarks.two_sources [FAMILIES]: Markdown tables; the same numbers every time. 2,000 families take half an hour.
A network answers an image rightly if difficulty of the image + what the technique makes of it + the run + rest exceeds
a threshold. Truths: in new runs on these images, for these networks on new images, in new runs on new images.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from benchmarks.anytime import Law, draw_normal, draw_skewed
from sota_exp.statistics.paired import bonett_price_interval, paired_t_interval
from sota_exp.statistics.power import find_detectable_difference
from sota_exp.statistics.sign_flip import sign_flip_test
from sota_exp.statistics.two_sources import adjust_p_values, combine_crossed

Floats = NDArray[np.float64]

ALPHA, NUM_SEEDS = 0.05, 8


def draw_heteroscedastic(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """Normal; every second arm scatters three times as much."""
    return rng.standard_normal(shape) * np.where(np.arange(shape[2]) % 2, 3.0, 1.0)


def draw_collapsing(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """One run of twenty is far worse."""
    return rng.standard_normal(shape) - 30.0 * (rng.random(shape) < 0.05)


#: Noise of the runs: (generator, shape [families, seeds, arms]) → scores.
LAWS: Mapping[str, Law] = {
    "normal": draw_normal,
    "skewed": draw_skewed,
    "heteroscedastic": draw_heteroscedastic,
    "collapse-prone": draw_collapsing,
}


@dataclass(frozen=True, kw_only=True)
class World:
    """Standard deviations of run, of what a technique makes of an image, and of the rest; that of difficulty is 1."""

    law: str
    of_runs: float
    of_images: float
    of_rest: float = 0.5

    @property
    def spread(self) -> float:
        return math.sqrt(1 + self.of_images**2 + self.of_rest**2)

    def draw_runs(self, rng: np.random.Generator, num_seeds: int, num_arms: int) -> Floats:
        return self.of_runs * LAWS[self.law](rng, (1, num_seeds, num_arms))[0]


WORLDS = [
    World(law=law, of_runs=of_runs, of_images=of_images)
    for law in LAWS
    for of_runs, of_images in ((0.02, 0.1), (0.05, 0.3), (0.02, 0.6))
]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Correctness bool [arms, S, N], the first arm being the reference, and what it was drawn from.

    runs: [S, arms]. images: the part of the score that belongs to image and technique, [arms, N].
    """

    correct: NDArray[np.bool_]
    runs: Floats
    images: Floats


def draw_family(
    rng: np.random.Generator, world: World, num_arms: int, num_images: int, offsets: Sequence[float]
) -> Family:
    """offsets: of the arms, the threshold's distance from the mean score."""
    runs = world.draw_runs(rng, NUM_SEEDS, num_arms)
    images = rng.standard_normal(num_images) + world.of_images * rng.standard_normal((num_arms, num_images))
    rest = world.of_rest * rng.standard_normal((num_arms, NUM_SEEDS, num_images), np.float32)
    score = np.array(offsets)[:, None, None] + images[:, None, :] + runs.T[:, :, None] + rest
    return Family(correct=score > 0, runs=runs, images=images)


def compute_truths(world: World, family: Family, offsets: Sequence[float], many: Floats) -> tuple[float, float, float]:
    """The three truths of the second arm against the first; many: runs [*, arms]."""
    here, fixed, both = [], [], []
    for arm, offset in enumerate(offsets):
        grid = np.quantile(many[:, arm], (np.arange(50) + 0.5) / 50)
        shares = [ndtr((offset + family.images[arm] + run) / world.of_rest).mean() for run in grid]
        here.append(float(np.mean(shares)))
        fixed.append(float(ndtr((offset + family.runs[:, arm]) / world.spread).mean()))
        both.append(float(ndtr((offset + many[:, arm]) / world.spread).mean()))
    return here[1] - here[0], fixed[1] - fixed[0], both[1] - both[0]


def compute_coverage(world: World, num_images: int, families: int) -> tuple[list[float], float]:
    """Shares of intervals that contain their truth (runs, images, both), and of families without spread over seeds."""
    rng, offsets = np.random.default_rng(0), (0.5, 0.6)
    many = world.draw_runs(np.random.default_rng(1), 20_000, 2)
    covered: list[list[bool]] = [[], [], []]
    for _ in range(families):
        family = draw_family(rng, world, 2, num_images, offsets)
        first, second = family.correct.astype(np.float64)
        truths = compute_truths(world, family, offsets, many)
        over_seeds = paired_t_interval(first.mean(axis=1), second.mean(axis=1))
        if over_seeds is None:
            continue
        both = combine_crossed(second - first).find_interval()
        assert both is not None
        for kept, each, truth in zip(
            covered, (over_seeds, bonett_price_interval(first, second), both), truths, strict=True
        ):
            kept.append(each.low <= truth <= each.high)
    return [float(np.mean(kept)) for kept in covered], 1 - len(covered[0]) / families


def judge(family: Family) -> tuple[list[bool], list[bool]]:
    """Per compared arm: whether it is shown on these images, and whether in new runs on new images too."""
    reference, *others = family.correct.astype(np.float64)
    tables = [other - reference for other in others]
    p_here = sign_flip_test(np.array([table.mean(axis=1) for table in tables]).T).p_adjusted
    p_new = adjust_p_values([combine_crossed(table).p_value for table in tables])
    here = [p <= ALPHA for p in p_here]
    return here, [each and p <= ALPHA for each, p in zip(here, p_new, strict=True)]


def find_equal_offsets(world: World, num_arms: int) -> list[float]:
    """Thresholds at which all arms have the same accuracy in new runs on new images."""
    many = world.draw_runs(np.random.default_rng(1), 20_000, num_arms + 1)
    goal, found = float(ndtr((0.5 + many[:, 0]) / world.spread).mean()), []
    for arm in range(num_arms + 1):
        low, high = -3.0, 4.0
        for _ in range(40):
            middle = (low + high) / 2
            below = float(ndtr((middle + many[:, arm]) / world.spread).mean()) < goal
            low, high = (middle, high) if below else (low, middle)
        found.append(low)
    return found


def count_wrong(world: World, num_arms: int, num_images: int, families: int) -> tuple[float, float]:
    """Shares of families in which any arm is decided: here, and on new images; no arm differs on new images."""
    rng, offsets = np.random.default_rng(0), find_equal_offsets(world, num_arms)
    found = [judge(draw_family(rng, world, num_arms + 1, num_images, offsets)) for _ in range(families)]
    return float(np.mean([any(here) for here, _ in found])), float(np.mean([any(new) for _, new in found]))


def measure_power(of_runs: float, of_images: float, num_arms: int, num_images: int, families: int) -> float:
    """How often the difference is shown that the plan says is shown in four of five, by normal sources."""
    rng, of_rest = np.random.default_rng(0), 0.4
    parts = (of_runs**2 / NUM_SEEDS, of_images**2 / num_images, of_rest**2 / NUM_SEEDS / num_images)
    runs, images, rest = parts[0] + parts[2], parts[1] + parts[2], parts[2]
    variance = runs + images - rest
    df = variance**2 / (runs**2 / (NUM_SEEDS - 1) + images**2 / (num_images - 1) + rest**2 / (num_images * NUM_SEEDS))
    over_seeds = find_detectable_difference(math.sqrt(NUM_SEEDS * runs), NUM_SEEDS, num_arms)
    over_both = math.sqrt(variance) * float(stdtrit(df, 1 - ALPHA / 2 / num_arms) + stdtrit(df, 0.8))
    effect = max(over_seeds or 0.0, over_both)
    shown = []
    for _ in range(families):
        tables = (
            of_runs * rng.standard_normal((num_arms, NUM_SEEDS, 1))
            + of_images * rng.standard_normal((num_arms, 1, num_images))
            + of_rest * rng.standard_normal((num_arms, NUM_SEEDS, num_images))
        )
        tables[0] += effect
        here = sign_flip_test(tables.mean(axis=2).T).p_adjusted[0] <= ALPHA
        shown.append(here and adjust_p_values([combine_crossed(table).p_value for table in tables])[0] <= ALPHA)
    return float(np.mean(shown))


def main(families: int) -> None:
    print(f"{NUM_SEEDS} seeds, {families:,} families.\n")
    print("| runs | sd of runs, images | test images | runs | images | both | without spread |")
    print("|---|---|---|---|---|---|---|")
    for world in WORLDS:
        for num in (24, 240, 2000, 10_000):
            shares, rest = compute_coverage(world, num, families)
            columns = " | ".join(f"{100 * share:.1f}" for share in (*shares, rest))
            print(f"| {world.law} | {world.of_runs}, {world.of_images} | {num:,} | {columns} |", flush=True)
    print(
        "\n| runs | sd of runs, images | arms | test images | wrong here | wrong on new images |\n|---|---|---|---|---|---|"
    )
    for world in WORLDS:
        for arms, num in ((1, 24), (1, 240), (1, 10_000), (4, 240), (12, 24), (12, 240), (12, 2000)):
            shares = [f"{100 * share:.1f}" for share in count_wrong(world, arms, num, families)]
            print(
                f"| {world.law} | {world.of_runs}, {world.of_images} | {arms} | {num:,} | {' | '.join(shares)} |",
                flush=True,
            )
    print("\n| sd of runs, images | arms | test images | shown, planned 80 |\n|---|---|---|---|")
    for of_runs, of_images in ((0.02, 0.1), (0.01, 0.3), (0.0, 0.3), (0.1, 0.1)):
        for arms, num in ((1, 240), (4, 240), (12, 240), (1, 2000), (12, 2000)):
            power = measure_power(of_runs, of_images, arms, num, families)
            print(f"| {of_runs}, {of_images} | {arms} | {num:,} | {100 * power:.1f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
