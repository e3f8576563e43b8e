"""Statistical power in `study.json`: the noise of differences, what seeds show of it, and what other images add."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from sota_exp.config.split_of_seed import ScoredShare, get_scored_share
from sota_exp.statistics.paired import has_spread
from sota_exp.statistics.planned_effect import (
    ASSUMED_NOISE,
    DifferenceNoise,
    add_noise_of_folds,
    add_noise_of_images,
    add_noise_of_splits,
    estimate_noise,
    estimate_noise_of_folds,
)
from sota_exp.statistics.power import assume_difference_sd, find_num_seeds
from sota_exp.statistics.stopping import MAX_SIMULATED_SEEDS, find_num_anytime_seeds
from sota_exp.statistics.units import is_share_of_images
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.study_json_effects import estimate_screening_effects
from sota_exp.study.tested_images import read_correctness, read_differences

#: Numbers of seeds and effects (fractions) in the table of statistical power.
POWER_TABLE_SEEDS, POWER_TABLE_EFFECTS = (4, 6, 8, 10, 12, 16, 24, 32), (0.001, 0.002, 0.005, 0.01, 0.02)
CELL_SEEDS = (1, 2, 3, 4, 6, 8)

#: Least differences of an arm whose spread is used instead of the assumption.
LEAST_DIFFERENCES = 3


@dataclass(frozen=True, kw_only=True)
class EarlierNoise:
    """What another study measured of the same images. source: which, in words."""

    noise: DifferenceNoise
    source: str


@dataclass(frozen=True, kw_only=True)
class StudyNoise:
    """How much differences of the study vary.

    sd: over seeds; None as long as the number of test images is unknown. source: where it comes from, in words.
    num_test: images of a run, on which the metric is measured; num_all: of the data set; 0 where they are unknown.
    noise: by seed and image; None for a metric that is no share of images. is_assumed: whether that is the assumption.
    """

    sd: float | None
    source: str
    num_test: int
    num_all: int
    noise: DifferenceNoise | None
    is_assumed: bool

    def of_splits(self, num_test: int, num_all: int) -> "StudyNoise":
        """The noise if each seed tested other images: that of the images is then between the seeds."""
        sd = self.sd
        if self.noise is not None:
            sd = math.sqrt(self.noise.seeds + (self.noise.both + self.noise.images) / num_test)
        return replace(self, sd=sd, num_test=num_test, num_all=num_all)

    def count_images(self, tested: ScoredShare | None) -> int:
        """Images on which all runs of an arm measure the metric, with folds those of all folds."""
        return self.num_test if tested is None else self.num_all

    def find_effect(self, study: PlannedStudy, num_seeds: int, tested: ScoredShare | None) -> float | None:
        """The smallest effect shown for other images like these in four of five studies; None: none, or unknown.

        tested: `get_scored_share`, where each seed tests other images.
        """
        if self.sd is None or not self.num_test:
            return None
        over_seeds = study.plan_effect(self.sd, num_seeds)
        if self.noise is None:
            return add_noise_of_splits(over_seeds.smallest, num_seeds, tested.to_train) if tested else None
        num_tests = study.num_tests if study.blueprint.design is None else study.num_effects
        num_images, shared = self.count_images(tested), (num_tests, study.settings.level)
        if tested is None:
            return add_noise_of_images(over_seeds, self.noise, num_images, *shared)
        return add_noise_of_folds(over_seeds, self.noise, num_seeds, num_images, tested.runs_per_repeat, *shared)


def find_scored_share(study: PlannedStudy) -> ScoredShare | None:
    """`get_scored_share` of the study; None where all seeds test the same images."""
    return get_scored_share(study.arms.ready[0].configuration.values, study.settings.metric.split("/")[0])


def estimate_study_noise(
    study: PlannedStudy,
    runs: StudyRuns,
    counts: Mapping[str, int] | None = None,
    earlier: EarlierNoise | None = None,
) -> StudyNoise:
    """The noise of the finished runs, or as long as there are too few, an assumption that counts the test images.

    counts: images of each part, for a study without results. earlier: what is known instead of the assumption.
    """
    part, first = runs.metric.partition("/")[0], runs.first
    found = dict(counts or {})
    num_all = sum(found.values())
    if first is not None:
        found, num_all = first["evaluated_images"], _count_all_images(study, runs)
    num_test = found.get(part, 0)
    components, measured = _estimate_components(study, runs), estimate_sd(study, runs)
    if measured is not None:
        sd, source = measured
    elif num_test and earlier is not None:
        components = components or earlier.noise
        sd, source = components.compute_sd_of_seed(num_test), earlier.source
    elif num_test:
        sd, source = (
            assume_difference_sd(num_test),
            f"an assumption: a fifth of {num_test:,} {part} images change sides",
        )
    else:
        sd, source = None, f"unknown: it depends on the number of {part} images"
    is_assumed = components is None and is_share_of_images(runs.metric)
    noise = ASSUMED_NOISE if is_assumed else components
    result = StudyNoise(sd=sd, source=source, num_test=num_test, num_all=num_all, noise=noise, is_assumed=is_assumed)
    has_splits = measured is None and num_test and find_scored_share(study) is not None
    return result.of_splits(num_test, num_all) if has_splits else result


def _count_all_images(study: PlannedStudy, runs: StudyRuns) -> int:
    """Images of the data set, by the mean test part of the first arm with results: folds are not equally large."""
    share = get_scored_share(study.arms.ready[0].configuration.values, "test")
    results = next(found for found in runs.results.values() if found).values()
    tested = float(np.mean([result["evaluated_images"]["test"] for result in results]))
    return 0 if share is None else round(tested / share.of_all)


def estimate_sd(study: PlannedStudy, runs: StudyRuns) -> tuple[float, str] | None:
    """The pooled standard deviation of differences over seeds, and where it comes from; None: too few runs.

    Of a design without arms beside it, √2 times that of runs of the same cell, less what a seed does in all cells.
    """
    samples = [list(runs.differences(arm, study.seeds).values()) for arm in study.compared]
    samples = [sample for sample in samples if len(sample) >= LEAST_DIFFERENCES]
    if any(map(has_spread, samples)):
        squares = sum(np.var(sample, ddof=1) * (len(sample) - 1) for sample in samples)
        sd = float(np.sqrt(squares / sum(len(sample) - 1 for sample in samples)))
        return sd, f"this study's {sum(map(len, samples))} differences"
    cells = [runs.values(arm.name) for arm in study.arms.ready if arm.arm.is_cell]
    common = [seed for seed in study.seeds if cells and all(seed in values for values in cells)]
    if len(common) == 1:
        return _estimate_sd_of_one_seed(study, runs)
    if len(common) < 2 or len(cells) < LEAST_DIFFERENCES:
        return None
    table = np.array([[values[seed] for seed in common] for values in cells])
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    if not has_spread(rest.ravel()):
        return None
    variance = float((rest**2).sum()) / ((len(cells) - 1) * (len(common) - 1))
    return math.sqrt(2 * variance), f"this study's {table.size} runs"


def _estimate_sd_of_one_seed(study: PlannedStudy, runs: StudyRuns) -> tuple[float, str] | None:
    """By what the main effects of a design leave, which has their interactions in it; None: they leave nothing."""
    effects, _ = estimate_screening_effects(study, runs)
    if not effects or not effects[0].standard_error:
        return None
    num_cells = sum(arm.is_cell for arm in study.blueprint.arms)
    sd = effects[0].standard_error * math.sqrt(num_cells / 2)
    return sd, f"this study's {num_cells} runs; interactions are in it, a second seed parts them"


def _estimate_components(study: PlannedStudy, runs: StudyRuns) -> DifferenceNoise | None:
    """The mean of the variances that the arms have; None where too few runs tested the same images."""
    if runs.metric not in ("val/accuracy", "test/accuracy"):
        return None
    arms = {arm.name: arm for arm in study.arms.ready}
    found = []
    for arm in study.compared:
        seeds, reference = list(runs.differences(arm, study.seeds)), arms[str(arm.arm.reference)]
        if len(seeds) < LEAST_DIFFERENCES:
            continue
        if runs.have_same_images(arm, reference, seeds):
            read = read_correctness(runs, arm, reference, seeds)
            if read is not None and read.own.shape[1] > 1:
                found.append(estimate_noise(read.own - read.other, read.groups))
        elif (pairs := read_differences(runs, arms, {arm.name: 1.0, reference.name: -1.0}, seeds)) is not None:
            found.append(estimate_noise_of_folds(*pairs))
    known = [each for each in found if each is not None]
    if not known:
        return None
    parts = {name: float(np.mean([vars(each)[name] for each in known])) for name in ("seeds", "images", "both")}
    return DifferenceNoise(**parts, df_images=known[0].df_images) if parts["both"] > 0 else None


def build_power_table(study: PlannedStudy, runs: StudyRuns, found: StudyNoise | None = None) -> JsonObject:
    """Statistical power: what each number of seeds can detect, on these test images and on others like them.

    found: the noise; None: that of the runs, or the assumption.
    """
    found = found or estimate_study_noise(study, runs)
    sd, level = found.sd, study.get_test_level(len(study.seeds))
    power: JsonObject = {"sd_assumed": sd, "sd_source": found.source}
    is_design = study.blueprint.design is not None
    if found.noise is not None and not found.is_assumed:
        power["noise"] = asdict(found.noise)
    power["num_tests"] = study.num_effects if is_design else study.num_tests
    if study.find_planned_effect(1.0, len(study.seeds)) is None:
        power["fewest_seeds"] = study.count_fewest_seeds()
    if sd is None:
        return power
    tested, num = find_scored_share(study), len(study.seeds)
    power["new_images"] = {
        "detectable": found.find_effect(study, num, tested),
        "variance": None if found.noise is None else found.noise.images,
        "is_assumed": found.is_assumed,
    }
    if is_design:
        seeds = sorted({*CELL_SEEDS, num})
        return power | {"detectable_effect": {str(each): study.find_detectable_main_effect(sd, each) for each in seeds}}
    seeds, tests = sorted({*POWER_TABLE_SEEDS, num}), study.num_tests
    power |= {"most_seeds": MAX_SIMULATED_SEEDS} if study.settings.has_anytime_looks else {}
    return power | {
        "detectable": {str(each): study.find_detectable(sd, each, num) for each in seeds},
        "seeds_needed": {
            str(effect): find_num_anytime_seeds(effect / sd, tests, level)
            if study.settings.has_anytime_looks
            else find_num_seeds(effect, sd, tests, level)
            for effect in POWER_TABLE_EFFECTS
        },
    }
