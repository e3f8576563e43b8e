"""What would let a study decide something whose `study.time` is too short: ways, with overrides and figures."""

import math
from collections.abc import Sequence

from sota_exp.report.numbers import format_count
from sota_exp.statistics.units import get_metric_format
from sota_exp.study.afford import MOST_SEEDS, Costs, Option, Variant, build_option
from sota_exp.study.results import PlannedStudy
from sota_exp.study.settings import Allowance
from sota_exp.study.study_json_power import StudyNoise

#: Kinds of study with one arm for each technique of `study.only`.
ONE_ARM_EACH = ("ladder", "leave_one_out", "one_change", "add_one_in")

#: Times more than the measured steps say, so that a plan that is measured again fits too.
MARGIN = 1.1

#: Larger images can be halved, which leaves a quarter of the work.
LEAST_HALVED = 64


def list_ways(
    study: PlannedStudy,
    variants: Sequence[Variant],
    costs: Costs,
    allowance: Allowance,
    noise: StudyNoise,
    options: Sequence[Option],
    most_at_once: int,
) -> list[str]:
    """The ways: more time, fewer techniques, another design, and what makes runs faster.

    variants: the configured one first. options: that fit, also of other designs. most_at_once: runs that this machine
    can train at a time, of two.
    """
    whole = variants[0]
    shortest = min(variants, key=lambda each: (each.folds > whole.folds, each.epochs))
    folds = next((each for each in variants if each.folds > whole.folds), whole)
    ways = [
        _describe_time(study, each, costs, allowance.unit, noise)
        for at, each in enumerate((shortest, whole, folds))
        if each is not whole or at == 1
    ]
    ways += [
        f"study.only=[{','.join(names)}] with {format_count(each.epochs, 'epoch')}"
        for each in ((whole,) if shortest is whole else (whole, shortest))
        if (names := _choose_fitting(study, costs, each, allowance))
    ]
    others = [option for option in options if not option.is_own and option.effect is not None]
    if others:
        best, unit = min(others, key=lambda each: each.effect or math.inf), get_metric_format(study.settings.metric)
        ways.append(f"study={best.design}, which shows {unit.size(best.effect or 0.0)}")
    return ways + _list_faster(study, costs.num_at_once, most_at_once)


def _count_seeds(study: PlannedStudy, variant: Variant) -> int:
    """The fewest with which any effect can be shown, in whole repeats of the folds."""
    return math.ceil((study.count_fewest_seeds() or MOST_SEEDS) / variant.folds) * variant.folds


def _describe_time(study: PlannedStudy, variant: Variant, costs: Costs, unit: str, noise: StudyNoise) -> str:
    """`study.time=89m: 6 seeds with 14 epochs, which show 12.53 points`."""
    num_seeds = _count_seeds(study, variant)
    amount = num_seeds * costs.compute(variant, len(study.arms.ready), unit)
    time = f"{math.ceil(MARGIN * amount / 60)}m" if unit == "seconds" else f"{math.ceil(amount)}{unit}"
    option = build_option(study, variant, costs, Allowance(amount=1.001 * amount, unit=unit), noise, is_own=True)
    tested = f" by folds, on all {variant.num_tested:,} images" if variant.folds > 1 else ""
    shows = ""
    if option is not None and option.effect is not None:
        shows = f", which show {get_metric_format(study.settings.metric).size(option.effect)}"
    return f"study.time={time}: {num_seeds} seeds with {format_count(variant.epochs, 'epoch')}{tested}{shows}"


def _list_faster(study: PlannedStudy, num_at_once: int, most_at_once: int) -> list[str]:
    """What makes runs faster, which another plan measures."""
    first = study.arms.ready[0].configuration
    size, ways = int(first.values["data"]["image_size"]), list[str]()
    if size >= LEAST_HALVED:
        ways.append(f"data.image_size={size // 2}, a quarter of the work")
    if first.choices["model/arch"] != "small" and first.choices["model/weights"] == "scratch":
        ways.append("model/arch=small model.arch.name=resnet_xs, a small network")
    if num_at_once < most_at_once:
        ways.append(f"hydra/launcher=joblib hydra.launcher.n_jobs={most_at_once}, runs at a time")
    return ways


def _choose_fitting(study: PlannedStudy, costs: Costs, variant: Variant, allowance: Allowance) -> list[str]:
    """The techniques of the study's list, in its order, whose arms fit beside those without a reference."""
    num_seeds = _count_seeds(study, variant)
    arms = list(zip(study.arms.ready, costs.compute_each(variant, allowance.unit), strict=True))
    left = allowance.amount - num_seeds * sum(cost for arm, cost in arms if arm.arm.reference is None)
    found: list[str] = []
    for arm, cost in arms if study.settings.kind in ONE_ARM_EACH else ():
        name = arm.name.removeprefix("without_").removeprefix("with_")
        if arm.arm.reference is not None and name in study.settings.techniques and num_seeds * cost <= left:
            found.append(name)
            left -= num_seeds * cost
    return found
