"""Differences in new training runs on new images like the tested ones: intervals, and which of them are shown.

The tests of a study are about new training runs on its test images. An effect holds for other images like these only
if it exceeds the noise of both; all arms and interactions together keep the error of the study, by Holm's rule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from scipy.special import ndtri

from sota_exp.config.split_of_seed import get_test_to_train
from sota_exp.statistics.anytime import compute_confidence_sequence
from sota_exp.statistics.effects import Effect, compute_contrasts
from sota_exp.statistics.interim import InterimResult
from sota_exp.statistics.paired import has_spread
from sota_exp.statistics.power import DEFAULT_POWER
from sota_exp.statistics.two_sources import MeanOfTwoSources, adjust_p_values, combine_crossed, combine_splits
from sota_exp.statistics.units import get_metric_format
from sota_exp.statistics.verdict import OnNewImages
from sota_exp.study.plan import BASELINE_ARM
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns

#: What a number of a study is made of: arm → its weight. The difference of an arm is {arm: 1, its reference: −1}.
Contrast = Mapping[str, float]


def compare_on_new_images(
    study: PlannedStudy, runs: StudyRuns, test: InterimResult, effects: Sequence[Effect]
) -> dict[str, OnNewImages]:
    """Arm, `a × b` of a study of pairs, or effect of a design → its difference in new training runs on new images.

    effects: those of the design, named by their factors, joined by ` × `. Without an entry: a metric that is no
    accuracy, where all runs share their test images; runs on other images than their reference; too few runs, or equal
    differences at every seed, so that their noise is unknown.
    """
    found: dict[str, MeanOfTwoSources] = {}
    seeds = {arm.name: study.seeds[: test.seeds.get(arm.name, len(study.seeds))] for arm in study.compared}
    contrasts = {arm.name: {arm.name: 1.0, str(arm.arm.reference): -1.0} for arm in study.compared}
    for name, (first, second) in study.interactions.items():
        contrasts[name] = {"+".join((first, second)): 1.0, first: -1.0, second: -1.0, BASELINE_ARM: 1.0}
    for name, contrast in contrasts.items():
        if name in test.p_adjusted:
            mean = combine_runs(study, runs, contrast, seeds.get(name, study.seeds))
            found |= {name: mean} if mean is not None else {}
    found |= _combine_effects(study, runs, effects)
    if study.settings.has_anytime_looks:
        return {
            name: _judge_at_any_time(study, runs, contrasts[name], seeds[name], each) for name, each in found.items()
        }
    groups = [[name for name in found if (name in contrasts) == is_arm] for is_arm in (True, False)]
    families = ((groups[0], study.num_families), (groups[1], study.num_families_of_effects))
    return {
        name: _judge_once(study, found[name], num * adjusted, len(names), len(seeds.get(name, study.seeds)))
        for names, num in families
        for name, adjusted in zip(names, adjust_p_values([found[name].p_value for name in names]), strict=True)
    }


def new_images_to_json(found: OnNewImages | None) -> JsonObject | None:
    """The entry `new_images` of an arm or effect."""
    return None if found is None else asdict(found) | {"interval": list(found.interval) if found.interval else None}


def combine_runs(
    study: PlannedStudy,
    runs: StudyRuns,
    contrast: Contrast,
    among: Sequence[int],
    of_runs: float | None = None,
    df_runs: float = 0,
) -> MeanOfTwoSources | None:
    """The mean of a contrast over the seeds that all its arms have; see `compare_on_new_images` for None.

    of_runs, df_runs: as in `combine_crossed`.
    """
    arms = {arm.name: arm for arm in study.arms.ready}
    if not contrast.keys() <= arms.keys():
        return None
    values = {name: runs.values(name) for name in contrast}
    seeds = [seed for seed in among if all(seed in found for found in values.values())]
    if not seeds:
        return None
    first = next(iter(contrast))
    differences = _sum_up(contrast, values, seeds)
    if of_runs is None and not has_spread(differences):
        return None
    shares_images = all(runs.have_same_images(arms[first], arms[name], seeds) for name in contrast)
    if shares_images and study.settings.metric.endswith("/accuracy") and (of_runs is not None or len(seeds) > 1):
        weights = np.array(list(contrast.values()))
        rows = [weights @ np.array([runs.correct(name, seed) for name in contrast], np.float64) for seed in seeds]
        return combine_crossed(np.array(rows), of_runs, df_runs)
    ratio = get_test_to_train(arms[first].configuration.values)
    are_pairs = all(runs.have_same_images(arms[first], arms[name], [seed]) for name in contrast for seed in seeds)
    if ratio is None or not are_pairs or len(seeds) < 2:
        return None
    return combine_splits(differences, ratio)


def _sum_up(contrast: Contrast, values: Mapping[str, Mapping[int, float]], seeds: Sequence[int]) -> list[float]:
    """The contrast of every seed."""
    return [sum(weight * values[name][seed] for name, weight in contrast.items()) for seed in seeds]


def _combine_effects(study: PlannedStudy, runs: StudyRuns, effects: Sequence[Effect]) -> dict[str, MeanOfTwoSources]:
    """Of the effects of a design, where all its cells have the same seeds."""
    design = study.blueprint.design
    if design is None or not effects:
        return {}
    cells = [arm.name for arm in study.blueprint.arms if arm.is_cell]
    if any(runs.results.get(name, {}).keys() != runs.results.get(cells[0], {}).keys() for name in cells):
        return {}
    found: dict[str, MeanOfTwoSources] = {}
    weights = compute_contrasts(tuple(study.blueprint.factors), design, effects)
    for effect, row in zip(effects, weights, strict=True):
        contrast = dict(zip(cells, row.tolist(), strict=True))
        mean = combine_runs(study, runs, contrast, study.seeds, effect.standard_error**2, effect.df)
        found |= {" × ".join(effect.factors): mean} if mean is not None else {}
    return found


def _judge_once(
    study: PlannedStudy, mean: MeanOfTwoSources, p_adjusted: float, num_tests: int, num_seeds: int
) -> OnNewImages:
    """By the p-value, adjusted for `num_tests` together, with planned looks at the level of the look."""
    settings = study.settings
    scale = (1 - settings.level) / (1 - settings.get_test_level(num_seeds))
    adjusted = min(1.0, scale * p_adjusted)
    level = 1 - (1 - study.get_test_level(num_seeds)) / num_tests
    found = mean.find_interval(settings.level, get_metric_format(settings.metric).highest)
    return OnNewImages(
        interval=(found.low, found.high) if found else None,
        p_value=mean.p_value,
        p_adjusted=adjusted,
        is_shown=adjusted <= 1 - settings.level,
        detectable=mean.find_detectable(level, DEFAULT_POWER),
    )


def _judge_at_any_time(
    study: PlannedStudy, runs: StudyRuns, contrast: Contrast, among: Sequence[int], mean: MeanOfTwoSources
) -> OnNewImages:
    """By an interval that holds at every look: half of the error is for the seeds, half for what they don't remove."""
    values = {name: runs.values(name) for name in contrast}
    found = _sum_up(contrast, values, [seed for seed in among if all(seed in each for each in values.values())])
    highest = get_metric_format(study.settings.metric).highest

    def find_interval(error: float) -> tuple[float, float] | None:
        over_seeds = compute_confidence_sequence(found, 1 - error / 2)
        reach = float(ndtri(1 - error / 4)) * math.sqrt(mean.lasting)
        if over_seeds is None:
            return None
        return max(-highest, over_seeds.low - reach), min(highest, over_seeds.high + reach)

    error = 1 - study.settings.level
    corrected = find_interval(error / study.num_tests)
    is_shown = corrected is not None and not corrected[0] <= 0 <= corrected[1]
    return OnNewImages(interval=find_interval(error), p_value=None, p_adjusted=None, is_shown=is_shown, detectable=None)
