"""Differences in new training runs on new images like the tested ones: intervals, and which of them are shown.

The tests of a study are about new training runs on its test images. An effect holds for other images like these only
if it exceeds the noise of both; all arms and interactions together keep the error of the study, by Holm's rule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from scipy.special import stdtrit

from sota_exp.config.split_of_seed import get_scored_share
from sota_exp.statistics.anytime import compute_confidence_sequence
from sota_exp.statistics.effects import Effect, compute_contrasts
from sota_exp.statistics.interim import InterimResult
from sota_exp.statistics.paired import has_spread
from sota_exp.statistics.power import DEFAULT_POWER
from sota_exp.statistics.two_sources import (
    MeanOfTwoSources,
    adjust_p_values,
    combine_crossed,
    combine_folds,
    combine_splits,
)
from sota_exp.statistics.units import get_metric_format
from sota_exp.statistics.verdict import OnNewImages
from sota_exp.study.plan import BASELINE_ARM
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.tested_images import read_contrast, read_differences

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
    seeds = {arm.name: study.seeds[: test.seeds.get(arm.name, len(study.seeds))] for arm in study.compared}
    contrasts = list_contrasts(study)
    tested: dict[str, MeanOfTwoSources | None] = {
        name: combine_runs(study, runs, contrast, seeds.get(name, study.seeds))
        for name, contrast in contrasts.items()
        if name in test.p_adjusted
    }
    if study.settings.has_anytime_looks:
        return {
            name: judge_at_any_time(study, runs, contrasts[name], seeds[name], each)
            for name, each in tested.items()
            if each is not None
        }
    by_name = {**dict.fromkeys(contrasts), **tested}
    families = (
        (by_name, study.num_families),
        (_combine_effects(study, runs, effects), study.num_families_of_effects),
    )
    return {
        name: found
        for family, num_families in families
        for name, found in _judge_together(study, family, num_families, seeds).items()
    }


def list_contrasts(study: PlannedStudy) -> dict[str, Contrast]:
    """Arm or `a × b` of a study of pairs → what its difference is made of."""
    found: dict[str, Contrast] = {arm.name: {arm.name: 1.0, str(arm.arm.reference): -1.0} for arm in study.compared}
    for name, (first, second) in study.interactions.items():
        found[name] = {"+".join((first, second)): 1.0, first: -1.0, second: -1.0, BASELINE_ARM: 1.0}
    return found


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
    differences = _sum_up(contrast, values, seeds)
    if of_runs == 0 or (of_runs is None and not has_spread(differences)):
        return None
    first = arms[next(iter(contrast))]
    if study.settings.metric.endswith("/accuracy"):
        if all(runs.have_same_images(first, arms[name], seeds) for name in contrast):
            if of_runs is None and len(seeds) < 2:
                return None
            return combine_crossed(
                np.array(read_contrast(runs, contrast, seeds)), of_runs, df_runs, runs.groups(first.name, seeds[0])
            )
        if len(seeds) > 1 and (read := read_differences(runs, arms, contrast, seeds)) is not None:
            return combine_folds(*read)
    tested = get_scored_share(first.configuration.values, study.settings.metric.split("/")[0])
    are_pairs = all(runs.have_same_images(first, arms[name], [seed]) for name in contrast for seed in seeds)
    if tested is None or not are_pairs or len(seeds) < 2:
        return None
    return combine_splits(differences, tested.to_train)


def _sum_up(contrast: Contrast, values: Mapping[str, Mapping[int, float]], seeds: Sequence[int]) -> list[float]:
    """The contrast of every seed."""
    return [sum(weight * values[name][seed] for name, weight in contrast.items()) for seed in seeds]


def _combine_effects(
    study: PlannedStudy, runs: StudyRuns, effects: Sequence[Effect]
) -> dict[str, MeanOfTwoSources | None]:
    """Of the effects of a design, over the seeds that all its cells have."""
    design = study.blueprint.design
    if design is None or not effects:
        return {}
    cells = [arm.name for arm in study.blueprint.arms if arm.is_cell]
    weights = compute_contrasts(tuple(study.blueprint.factors), design, effects)
    return {
        " × ".join(effect.factors): combine_runs(
            study, runs, dict(zip(cells, row.tolist(), strict=True)), study.seeds, effect.standard_error**2, effect.df
        )
        for effect, row in zip(effects, weights, strict=True)
    }


def _judge_together(
    study: PlannedStudy,
    family: Mapping[str, MeanOfTwoSources | None],
    num_families: int,
    seeds: Mapping[str, Sequence[int]],
) -> dict[str, OnNewImages]:
    """By p-values, adjusted for all of a family by Holm's rule; with planned looks at the level of the look.

    What has no p-value counts as 1. num_families: that share the error. seeds: of the last test of an arm.
    """
    settings = study.settings
    # The error of the study divided by that of the look of each.
    scales = {
        name: (1 - settings.level) / (1 - settings.get_test_level(len(seeds.get(name, study.seeds)))) for name in family
    }
    scaled = [1.0 if each is None else min(1.0, scales[name] * each.p_value) for name, each in family.items()]
    found = {}
    for (name, mean), adjusted in zip(family.items(), adjust_p_values(scaled), strict=True):
        if mean is None:
            continue
        interval = mean.find_interval(settings.level, find_largest(study, name))
        together = min(1.0, num_families * adjusted)
        error = (1 - settings.level) / scales[name] / num_families / len(family)
        found[name] = OnNewImages(
            interval=(interval.low, interval.high) if interval else None,
            p_value=mean.p_value,
            p_adjusted=together,
            is_shown=together <= 1 - settings.level,
            detectable=mean.find_detectable(1 - error, DEFAULT_POWER),
            lasting=mean.lasting,
        )
    return found


def find_largest(study: PlannedStudy, name: str) -> float:
    """The largest possible difference of an arm; an interaction, ` × ` in its name, is one of two differences."""
    return get_metric_format(study.settings.metric).highest * (2 if " × " in name else 1)


def judge_at_any_time(
    study: PlannedStudy, runs: StudyRuns, contrast: Contrast, among: Sequence[int], mean: MeanOfTwoSources
) -> OnNewImages:
    """By an interval that holds at every look: half of the error is for the seeds, half for the images."""
    values = {name: runs.values(name) for name in contrast}
    found = _sum_up(contrast, values, [seed for seed in among if all(seed in each for each in values.values())])
    highest = get_metric_format(study.settings.metric).highest

    def find_interval(error: float) -> tuple[float, float] | None:
        over_seeds = compute_confidence_sequence(found, 1 - error / 2)
        reach = _find_reach(mean.of_images, mean.df_images, error)
        if over_seeds is None:
            return None
        return max(-highest, over_seeds.low - reach), min(highest, over_seeds.high + reach)

    error = 1 - study.settings.level
    corrected = find_interval(error / study.num_tests)
    is_shown = corrected is not None and not corrected[0] <= 0 <= corrected[1]
    return OnNewImages(
        interval=find_interval(error),
        p_value=None,
        p_adjusted=None,
        is_shown=is_shown,
        detectable=None,
        lasting=mean.lasting,
    )


def _find_reach(variance: float, df: float, error: float) -> float:
    """Half the width of the interval for the images, with half of the error. variance: of the mean, by the images."""
    return float(stdtrit(df, 1 - error / 4)) * math.sqrt(variance)


def needs_no_seeds(study: PlannedStudy, runs: StudyRuns, name: str, num_seeds: int) -> bool:
    """Whether an arm that is shown on these images needs no further seeds under looks at any time.

    It is shown on new images too, or cannot be with these images: their noise exceeds the difference, however many
    seeds there are.
    """
    contrast, among = list_contrasts(study)[name], study.seeds[:num_seeds]
    mean = combine_runs(study, runs, contrast, among)
    if mean is None or abs(mean.mean) <= _find_reach(
        mean.lasting, mean.df_images, (1 - study.settings.level) / study.num_tests
    ):
        return True
    return judge_at_any_time(study, runs, contrast, among, mean).is_shown
