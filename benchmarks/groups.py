"""Intervals of images that vary together, as those of one patient do: how often they contain the truth.

python -m benchmarks.groups [FAMILIES]: a family is a data set that is drawn anew, and two classifiers that are compared
on it by ten runs: on one test part, or by five folds, twice, that cut no group. A classifier is right where the sum of
its mean, what it makes of the group, the image's difficulty, the run's luck and chance exceeds zero; all are normal, so
the true difference is known. The accuracy is that of the first run on all images.
"""

import sys
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sota_exp.data.split.folds import assign_folds
from sota_exp.statistics.groups import count_independent
from sota_exp.statistics.proportion import wilson_interval
from sota_exp.statistics.two_sources import combine_crossed, combine_folds

RUNS, FOLDS = 10, 5

#: Of both classifiers; the standard deviations of run, image and chance.
MEANS, OF_RUN, OF_IMAGE, OF_CHANCE = (0.5, 0.65), 0.1, 1.0, 0.5


class Setting(NamedTuple):
    """sizes: images of each group. of_group: standard deviation of what a classifier makes of a group."""

    name: str
    sizes: tuple[int, ...]
    of_group: float


SETTINGS = [
    Setting(name, tuple(sizes), of_group)
    for name, sizes in (
        ("240 alone", [1] * 240),
        ("40 of 6", [6] * 40),
        ("20 of 12", [12] * 20),
        ("10 of 24", [24] * 10),
        ("5 of 48", [48] * 5),
        ("180 alone, 10 of 6", [1] * 180 + [6] * 10),
        ("40 of 1 to 24", [1, 1, 2, 3, 4, 5, 8, 24] * 5),
        ("3 of 40, 30 of 4", [40] * 3 + [4] * 30),
    )
    for of_group in (0.0, 0.3, 0.6)
]


def find_true_accuracies(setting: Setting, run: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Of both classifiers; where the luck of a run is given, of that run."""
    spread = (setting.of_group**2 + OF_IMAGE**2 + OF_CHANCE**2 + (OF_RUN**2 if run is None else 0)) ** 0.5
    means = np.array(MEANS) + (0 if run is None else run)
    return np.array([NormalDist().cdf(mean / spread) for mean in means])


def draw(
    rng: np.random.Generator, setting: Setting
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Correctness [RUNS, 2, N], the luck of the first run of both classifiers [2], and the groups [N]."""
    groups = np.repeat(np.arange(len(setting.sizes)), setting.sizes)
    num = len(groups)
    luck = OF_RUN * rng.normal(size=(RUNS, 2, 1))
    of_group = setting.of_group * rng.normal(size=(2, len(setting.sizes)))[:, groups]
    chance = OF_CHANCE * rng.normal(size=(RUNS, 2, num))
    scores = np.array(MEANS)[:, None] + of_group + OF_IMAGE * rng.normal(size=num) + luck + chance
    return scores > 0, luck[0, :, 0], groups


def split(rng: np.random.Generator, groups: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The images that each run tests, by folds."""
    for _ in range(RUNS // FOLDS):
        fold = assign_folds(np.zeros_like(groups), groups, FOLDS, int(rng.integers(2**31)))
        yield from (np.flatnonzero(fold == number) for number in range(FOLDS))


def run_family(rng: np.random.Generator, setting: Setting) -> dict[str, tuple[bool, float]]:
    """Name of an interval → whether it contains the truth, and half its width."""
    right, luck, groups = draw(rng, setting)
    difference = right[:, 1].astype(np.float64) - right[:, 0]
    tested = list(split(rng, groups))
    rows = [difference[run, images] for run, images in enumerate(tested)]
    first, num = right[0, 0], len(groups)
    gain = float(np.diff(find_true_accuracies(setting))[0])
    accuracy = float(find_true_accuracies(setting, luck)[0])
    independent = count_independent(first, groups)
    found = {
        "one part": (gain, combine_crossed(difference).find_interval()),
        "one part, groups": (gain, combine_crossed(difference, groups=groups).find_interval()),
        "folds": (gain, combine_folds(rows, tested).find_interval()),
        "folds, groups": (gain, combine_folds(rows, [groups[images] for images in tested]).find_interval()),
    }
    intervals = {name: (truth, each.low, each.high) for name, (truth, each) in found.items() if each is not None}
    intervals["accuracy"] = accuracy, *wilson_interval(first.mean(), num)
    intervals["accuracy, groups"] = accuracy, *wilson_interval(first.mean(), independent)
    return {name: (low <= truth <= high, (high - low) / 2) for name, (truth, low, high) in intervals.items()}


def main(num_families: int) -> None:
    names: list[str] = []
    for number, setting in enumerate(SETTINGS):
        rng = np.random.default_rng([number, 1])
        found = [run_family(rng, setting) for _ in range(num_families)]
        if not names:
            names = list(found[0])
            print(f"| groups | of a group | {' | '.join(names)} |\n|{'---|' * (len(names) + 2)}")
        cells = (
            f"{100 * np.mean([each[name][0] for each in found]):.1f} "
            f"({100 * np.mean([each[name][1] for each in found]):.1f})"
            for name in names
        )
        print(f"| {setting.name} | {setting.of_group} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
