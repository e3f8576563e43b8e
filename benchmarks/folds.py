"""Intervals of cross-validations against the truth: how often they contain it, and how wide they are.

python -m benchmarks.folds [FAMILIES]: a family is a data set that is drawn anew, and two classifiers that are compared
on it by five folds, twice, or by ten random splits. A classifier is a ridge regression on random features; features
are drawn for every run, as weights of a network are, and shared by the pair. The truth is the mean difference of
trainings on fresh data of a fold's size, each scored on many fresh images.
"""

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sota_exp.statistics.paired import Estimate, bonett_price_interval, paired_t_interval
from sota_exp.statistics.pooled import pool_correctness
from sota_exp.statistics.two_sources import combine_folds, combine_splits

Floats = NDArray[np.float64]

INPUTS, FEATURES, FOLDS, RUNS = 10, 24, 5, 10
TRUTHS, TRUTH_IMAGES = 4000, 1000

#: The weights of the penalty of both classifiers: nearly equal, and unequal.
PENALTIES = ((1.0, 3.0), (0.1, 30.0))


class Setting(NamedTuple):
    """num: images. noise: standard deviation of what no classifier can know, of a score of about 1."""

    num: int
    noise: float
    penalties: tuple[float, float]


class Pair(NamedTuple):
    """Differences of correctness of one run, and the images it tested."""

    difference: Floats
    images: NDArray[np.int64]


def draw(rng: np.random.Generator, num: int, noise: float) -> tuple[Floats, Floats]:
    """Inputs [num, INPUTS] and classes, 1 or −1 [num]."""
    inputs = rng.normal(size=(num, INPUTS))
    score = inputs[:, 0] + 0.6 * inputs[:, 1] * inputs[:, 2] + noise * rng.normal(size=num)
    return inputs, np.where(score > 0, 1.0, -1.0)


def compare(
    rng: np.random.Generator, train: tuple[Floats, Floats], test: tuple[Floats, Floats], penalties: tuple[float, float]
) -> Floats:
    """Correctness of the second classifier minus that of the first, of every test image [n]."""
    weights, shift = rng.normal(size=(INPUTS, FEATURES)) / 2, rng.normal(size=FEATURES)
    seen, asked = (np.tanh(inputs @ weights + shift) for inputs in (train[0], test[0]))
    gram, target = seen.T @ seen, seen.T @ train[1]
    first, second = (
        np.sign(asked @ np.linalg.solve(gram + penalty * np.eye(FEATURES), target)) == test[1] for penalty in penalties
    )
    return second.astype(np.float64) - first


def find_truth(rng: np.random.Generator, setting: Setting) -> float:
    size = setting.num - setting.num // FOLDS
    return float(
        np.mean(
            [
                compare(
                    rng, draw(rng, size, setting.noise), draw(rng, TRUTH_IMAGES, setting.noise), setting.penalties
                ).mean()
                for _ in range(TRUTHS)
            ]
        )
    )


def split_into_folds(rng: np.random.Generator, num: int) -> Iterator[NDArray[np.int64]]:
    """The test images of each run, by folds."""
    for _ in range(RUNS // FOLDS):
        yield from np.array_split(rng.permutation(num), FOLDS)


def split_again(rng: np.random.Generator, num: int) -> Iterator[NDArray[np.int64]]:
    """The test images of each run, by a random split each."""
    for _ in range(RUNS):
        yield rng.permutation(num)[: num // FOLDS]


def run_family(
    rng: np.random.Generator, setting: Setting, split: Callable[..., Iterator[NDArray[np.int64]]]
) -> list[Pair]:
    inputs, classes = draw(rng, setting.num, setting.noise)
    runs = []
    for tested in split(rng, setting.num):
        rest = np.setdiff1d(np.arange(setting.num), tested)
        found = compare(rng, (inputs[rest], classes[rest]), (inputs[tested], classes[tested]), setting.penalties)
        runs.append(Pair(difference=found, images=tested))
    return runs


def find_intervals(runs: list[Pair]) -> dict[str, Estimate | None]:
    means = [run.difference.mean() for run in runs]
    images = [run.images for run in runs]
    pooled = pool_correctness([run.difference for run in runs], images)
    return {
        "images + runs": combine_folds([run.difference for run in runs], images).find_interval(),
        "Nadeau and Bengio": combine_splits(means, 1 / (FOLDS - 1)).find_interval(),
        "seeds": paired_t_interval(np.zeros(len(means)), means),
        "images": bonett_price_interval(np.zeros_like(pooled), pooled),
    }


def main(num_families: int) -> None:
    print("| split | images | noise | true, points | interval: contains the truth, % (half width, points) |")
    print("|---|---|---|---|---|")
    settings = [
        Setting(*each) for each in ((n, s, p) for n in (40, 120, 240, 600) for s in (0.2, 1.0) for p in PENALTIES)
    ]
    for number, setting in enumerate(settings):
        truth = find_truth(np.random.default_rng([0, number]), setting)
        for split in (split_into_folds, split_again):
            rng, hits, widths = np.random.default_rng([1, number]), {}, {}
            for _ in range(num_families):
                for name, found in find_intervals(run_family(rng, setting, split)).items():
                    hits.setdefault(name, []).append(found is not None and found.low <= truth <= found.high)
                    widths.setdefault(name, []).append(0.0 if found is None else (found.high - found.low) / 2)
            cells = (f"{name}: {100 * np.mean(hits[name]):.1f} ({100 * np.mean(widths[name]):.1f})" for name in hits)
            print(
                f"| {split.__name__.split('_')[-1]} | {setting.num} | {setting.noise} | {100 * truth:+.2f} | {'; '.join(cells)} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
