"""The images that the runs of a study tested: all the same ones, or together each of them, by cross-validation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sota_exp.runs.scored_images import get_image_digest, has_groups
from sota_exp.statistics.pooled import pool_correctness, pool_groups
from sota_exp.study.arms import ComposedArm
from sota_exp.study.results import JsonObject, StudyRuns

Correctness = NDArray[np.float64]
Numbers = NDArray[np.int64]


class ComparedImages(NamedTuple):
    """How often an arm and its reference were right on each tested image, as fractions [S, N].

    groups: the numbers of the images' groups, int64 [N]; None: each is one of its own.
    """

    own: Correctness
    other: Correctness
    groups: Numbers | None


def read_correctness(
    runs: StudyRuns, arm: ComposedArm, reference: ComposedArm, seeds: Sequence[int]
) -> ComparedImages | None:
    """How often both were right on each tested image.

    Where all runs tested the same images, S are the seeds. Where each pair of runs tested others, N are the images of
    all of them, each with its mean over the runs that tested it, and S is the least number of these. None where the
    runs of a pair tested different images, or files of an older version do not say which.
    """
    names = (arm.name, reference.name)
    if runs.have_same_images(arm, reference, seeds):
        own, other = (np.array([runs.correct(name, seed) for seed in seeds], np.float64) for name in names)
        return ComparedImages(own, other, read_groups(runs, names, seeds))
    images = [runs.images(arm.name, seed) for seed in seeds]
    if not all(runs.have_same_images(arm, reference, [seed]) for seed in seeds):
        return None
    tested = [each for each in images if each is not None]
    if len(tested) < len(seeds):
        return None
    own, other = (pool_correctness([runs.correct(name, seed) for seed in seeds], tested) for name in names)
    groups = [_read_numbers(runs, names, seed, each) for seed, each in zip(seeds, tested, strict=True)]
    return ComparedImages(own, other, pool_groups(tested, groups))


def read_contrast(runs: StudyRuns, contrast: Mapping[str, float], seeds: Sequence[int]) -> list[Correctness]:
    """By seed, the contrast of correctness on the images that its runs tested, [n]. contrast: arm → its weight."""
    weights = np.array(list(contrast.values()))
    return [weights @ np.array([runs.correct(name, seed) for name in contrast], np.float64) for seed in seeds]


def read_differences(
    runs: StudyRuns, arms: Mapping[str, ComposedArm], contrast: Mapping[str, float], seeds: Sequence[int]
) -> tuple[list[Correctness], list[Numbers]] | None:
    """`read_contrast`, and the numbers of the images' groups, int64 [n], those of the images where none are grouped.

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
    groups = [_read_numbers(runs, contrast, seed, each) for seed, each in zip(seeds, known, strict=True)]
    return read_contrast(runs, contrast, seeds), groups


def read_groups(runs: StudyRuns, names: Iterable[str], seeds: Sequence[int]) -> Numbers | None:
    """The groups of the images that all these runs tested, int64 [N], as the first that has them says; None: none.

    Runs of older versions have none.
    """
    found = (runs.groups(name, seed) for name in names for seed in seeds)
    return next((each for each in found if each is not None), None)


def _read_numbers(runs: StudyRuns, names: Iterable[str], seed: int, images: Numbers) -> Numbers:
    """The same of the runs of a seed; the numbers of the images where each is one of its own."""
    found = read_groups(runs, names, [seed])
    return images if found is None else found


def count_tested(runs: StudyRuns, seeds: Sequence[int]) -> JsonObject:
    """The numbers of test images in `study.json`, of the runs of the first arm with results; None without results.

    num_test: of all runs, each counted once. Older files do not say which they are: there it is that of one run.
    num_test_groups: in how many groups these vary together; None: each by itself. num_test_per_run: of the first run.
    """
    name = next((name for name, found in runs.results.items() if found), None)
    if name is None:
        return dict.fromkeys(("num_test", "num_test_groups", "num_test_per_run"))
    results = {seed: runs.results[name][seed] for seed in seeds if seed in runs.results[name]}
    counts = [int(result["evaluated_images"]["test"]) for result in results.values()]
    is_grouped = any(has_groups(result, "test") for result in results.values())
    has_several = _have_several_tests(runs, results.values())
    found: JsonObject = {"num_test": max(counts), "num_test_groups": None, "num_test_per_run": counts[0]}
    if not runs.metric.startswith("test/") or not (is_grouped or has_several):
        return found
    images = {seed: runs.images(name, seed) for seed in (results if has_several else [*results][:1])}
    known = {seed: each for seed, each in images.items() if each is not None}
    if len(known) == len(images):
        found["num_test"] = len(np.unique(np.concatenate(list(known.values()))))
        groups = [_read_numbers(runs, runs.results, seed, each) for seed, each in known.items()]
        found["num_test_groups"] = len(np.unique(np.concatenate(groups))) if is_grouped else None
    return found


def _have_several_tests(runs: StudyRuns, results: Iterable[JsonObject]) -> bool:
    """Whether the runs tested different images; false in a study of val, whose images are the ones that are read."""
    return runs.metric.startswith("test/") and len({get_image_digest(result, "test") for result in results}) > 1
