"""The images that the runs of a study tested: all the same ones, or together each of them, by cross-validation."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sota_exp.runs.scored_images import get_image_digest
from sota_exp.statistics.pooled import pool_correctness
from sota_exp.study.arms import ComposedArm
from sota_exp.study.results import JsonObject, StudyRuns

Correctness = NDArray[np.float64]


def read_correctness(
    runs: StudyRuns, arm: ComposedArm, reference: ComposedArm, seeds: Sequence[int]
) -> tuple[Correctness, Correctness] | None:
    """How often both arms were right on each tested image, as fractions [S, N]: of the arm, and of its reference.

    Where all runs tested the same images, S are the seeds. Where each pair of runs tested others, N are the images of
    all of them, each with its mean over the runs that tested it, and S is the least number of these. None where the
    runs of a pair tested different images, or files of an older version do not say which.
    """
    names = (arm.name, reference.name)
    if runs.have_same_images(arm, reference, seeds):
        own, other = (np.array([runs.correct(name, seed) for seed in seeds], np.float64) for name in names)
        return own, other
    images = [runs.images(arm.name, seed) for seed in seeds]
    if not all(runs.have_same_images(arm, reference, [seed]) for seed in seeds):
        return None
    tested = [each for each in images if each is not None]
    if len(tested) < len(seeds):
        return None
    own, other = (pool_correctness([runs.correct(name, seed) for seed in seeds], tested) for name in names)
    return own, other


def read_contrast(runs: StudyRuns, contrast: Mapping[str, float], seeds: Sequence[int]) -> list[Correctness]:
    """By seed, the contrast of correctness on the images that its runs tested, [n]. contrast: arm → its weight."""
    weights = np.array(list(contrast.values()))
    return [weights @ np.array([runs.correct(name, seed) for name in contrast], np.float64) for seed in seeds]


def read_differences(
    runs: StudyRuns, arms: Mapping[str, ComposedArm], contrast: Mapping[str, float], seeds: Sequence[int]
) -> tuple[list[Correctness], list[NDArray[np.int64]]] | None:
    """`read_contrast`, and the numbers of the images, int [n].

    arms, contrast: name of an arm → the arm, and its weight. None where the runs of a seed tested different images, or
    older files do not say which.
    """
    first = next(iter(contrast))
    if not all(runs.have_same_images(arms[first], arms[name], [seed]) for name in contrast for seed in seeds):
        return None
    images = [runs.images(first, seed) for seed in seeds]
    known = [each for each in images if each is not None]
    if len(known) < len(images):
        return None
    return read_contrast(runs, contrast, seeds), known


def count_tested(runs: StudyRuns, seeds: Sequence[int]) -> int | None:
    """The number of test images of all runs of the first arm with results; None without results.

    Each is counted once. Older files do not say which they are: there it is that of one run.
    """
    name = next((name for name, found in runs.results.items() if found), None)
    if name is None:
        return None
    results = {seed: runs.results[name][seed] for seed in seeds if seed in runs.results[name]}
    tested = [runs.images(name, seed) for seed in results] if _have_several_tests(runs, results.values()) else []
    if not tested or any(each is None for each in tested):
        return max(int(result["evaluated_images"]["test"]) for result in results.values())
    return len(np.unique(np.concatenate([each for each in tested if each is not None])))


def _have_several_tests(runs: StudyRuns, results: Iterable[JsonObject]) -> bool:
    """Whether the runs tested different images; false in a study of val, whose images are the ones that are read."""
    return runs.metric.startswith("test/") and len({get_image_digest(result, "test") for result in results}) > 1
