"""The plan of `study.time`: measured once, kept in `study_plan.json` in the study's directory, taken by repeats."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.config.split_of_seed import get_split, with_split_of_seed
from sota_exp.config.values import get_override_key
from sota_exp.errors import ConfigError
from sota_exp.preview.timing import measure_slowdown
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.runs.digests import read_object
from sota_exp.study.afford import RUN_OVERHEAD, Costs, Option, Variant, build_option, recommend
from sota_exp.study.cost_estimate import RunCost, count_images, count_runs_at_once, estimate_arm_costs
from sota_exp.study.earlier_noise import find_earlier_noise
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.settings import Allowance, StudySettings
from sota_exp.study.study_json_power import estimate_study_noise, find_scored_share
from sota_exp.study.terminal_time import describe_unmeasured
from sota_exp.study.too_little import list_ways

#: The file of the plan in the study's directory.
PLAN_FILE = "study_plan.json"

#: Shorter trainings that are offered, as shares of the configured epochs; the fewest epochs of them; keys that fix it.
LENGTH_SHARES, LEAST_EPOCHS = (0.5, 0.25), 3
LENGTH_KEYS = {"scale.epochs", "scale.long_epochs", "schedule.length.epochs"}

#: Folds are offered where a run tests fewer images than these: with more, other noise is larger.
FEW_TEST_IMAGES, FOLDS = 1000, 5
FOLD_OVERRIDES = ("data/split=cross_validation", f"data.split.folds={FOLDS}")

#: Designs that ask about each technique of a list; each is laid out beside the others.
DESIGNS = ("leave_one_out", "add_one_in", "screening")

#: Once planning has taken this share of the time, no other designs are laid out.
PLANNING_SHARE = 0.05

#: Plans the study with other settings and further overrides.
StudyPlanner = Callable[[StudySettings, Sequence[str]], PlannedStudy]


def plan_by_time(
    directory: Path,
    study: PlannedStudy,
    runs: StudyRuns,
    given: Sequence[str],
    plan: StudyPlanner,
    began: float,
    num_at_once: int = 1,
) -> JsonObject:
    """The plan in the directory, if it is of this study and `study.time`; else a new one, which is written there.

    study: as it would be without `study.time`. given: overrides of the command. began: `time.monotonic` at its start.
    num_at_once: runs that are trained at a time. A plan for which an arm could not be measured is not taken again.

    Raises:
        ConfigError: the command says the seeds too, or no arm can be measured.
    """
    settings = study.settings
    require_open_seeds(settings, given)
    path = directory / PLAN_FILE
    of: JsonObject = {"time": str(settings.time), "arms": [arm.whole for arm in study.arms.ready]}
    of |= {"smallest_effect": settings.smallest_effect} | ({"runs_at_once": num_at_once} if num_at_once > 1 else {})
    known = read_object(path, "of", "options", "recommended", "why")
    if known is not None and known["of"] == of and not known.get("unmeasured"):
        return known
    found = {"format": FILE_FORMAT, "of": of, **_build_plan(directory, study, runs, given, plan, began, num_at_once)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recomputable_text(path, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return found


def require_open_seeds(settings: StudySettings, given: Sequence[str]) -> None:
    """Check that the command leaves the number of seeds to `study.time`.

    Raises:
        ConfigError: it does not.
    """
    keys = {get_override_key(override) for override in given}
    if "study.seeds" in keys or settings.planned_looks is not None:
        other = "study.seeds" if "study.seeds" in keys else f"study.looks={settings.looks}"
        raise ConfigError(f"study.time={settings.time} chooses the seeds, and so does {other}: give one of the two")


def _build_plan(
    directory: Path,
    study: PlannedStudy,
    runs: StudyRuns,
    given: Sequence[str],
    plan: StudyPlanner,
    began: float,
    num_at_once: int,
) -> JsonObject:
    costs, unmeasured = measure_costs(study, num_at_once)
    noise = estimate_study_noise(study, runs, costs.runs[0].counts, find_earlier_noise(directory, study))
    variants = list_variants(study, given, costs.runs[0].counts, lambda: count_images_of_folds(study, plan))
    settings, allowance = study.settings, study.settings.allowance
    assert allowance is not None
    latest = math.inf
    if allowance.unit == "seconds":
        latest = began + PLANNING_SHARE * allowance.amount
        allowance = Allowance(amount=allowance.amount - (time.monotonic() - began), unit="seconds")
    options = [build_option(study, each, costs, allowance, noise, is_own=True) for each in variants]
    for other in _plan_other_designs(settings, plan, latest):
        whole = [each for each in variants if each.share == 1]
        options += [build_option(other, each, costs, allowance, noise, is_own=False) for each in whole]
    found = list(dict.fromkeys(option for option in options if option is not None))
    best, why = recommend(found, study, variants[0].epochs)
    ways = []
    if best is None:
        ways = list_ways(study, variants, costs, allowance, noise, found, count_runs_at_once(study, 2))
    return {
        "metric": settings.metric,
        "seconds": time.monotonic() - began,
        "seconds_of_arms": {} if best is None else _find_seconds_of_arms(study, variants, costs, found[best]),
        "seconds_per_run": num_at_once * costs.compute(variants[0], 1, "seconds"),
        "runs_at_once": num_at_once,
        "unmeasured": unmeasured,
        "noise": {
            "sd": noise.sd,
            "source": noise.source,
            "images": noise.noise and noise.noise.images,
            "is_assumed": noise.is_assumed,
        },
        "options": [asdict(option) for option in found],
        "recommended": best,
        "why": why,
        "ways": ways,
    }


def _plan_other_designs(settings: StudySettings, plan: StudyPlanner, latest: float) -> Iterator[PlannedStudy]:
    """The studies of other designs that ask about each technique too; none is planned after `latest`."""
    for kind in DESIGNS if settings.kind in DESIGNS else ():
        if kind != settings.kind and time.monotonic() < latest:
            with contextlib.suppress(ConfigError):
                yield plan(replace(settings, kind=kind, every_slot=kind == "leave_one_out", looks=None), [])


def _find_seconds_of_arms(
    study: PlannedStudy, variants: Sequence[Variant], costs: Costs, option: Option
) -> dict[str, float]:
    """Arm → seconds of one of its runs in an option of the command's design, of runs at a time each its share."""
    variant = next(each for each in variants if each.overrides == option.overrides)
    names = [arm.name for arm in study.arms.ready]
    return dict(zip(names, costs.compute_each(variant, "seconds"), strict=True))


def measure_costs(study: PlannedStudy, num_at_once: int) -> tuple[Costs, str]:
    """The measured costs of the arms, and what is said of those that cannot be measured.

    Such an arm costs what the first other does.

    Raises:
        ConfigError: none can be measured.
    """
    found = estimate_arm_costs(study, num_at_once)
    known = [cost for cost in found.values() if isinstance(cost, RunCost)]
    unmeasured = describe_unmeasured(found, len(found))
    if not known:
        raise ConfigError(f"study.time={study.settings.time}: {unmeasured.removesuffix('.')}")
    runs = [cost if isinstance(cost, RunCost) else known[0] for cost in found.values()]
    return Costs(runs=runs, num_at_once=num_at_once, overhead=RUN_OVERHEAD * measure_slowdown()), unmeasured


def count_images_of_folds(study: PlannedStudy, plan: StudyPlanner) -> dict[str, int]:
    """Images of each part of a run if the study had folds; {} where its data cannot be cut into them."""
    try:
        first = plan(study.settings, FOLD_OVERRIDES).arms.ready[0].configuration
    except ConfigError:
        return {}
    return count_images(with_split_of_seed(first, 0))


def list_variants(
    study: PlannedStudy, given: Sequence[str], counts: dict[str, int], count_of_folds: Callable[[], dict[str, int]]
) -> list[Variant]:
    """The configured length and shorter ones, each with the split of the command, then with folds where images are few.

    What the command fixes stays as it is. counts: images of each part of a run; count_of_folds: the same with folds.
    """
    first = study.arms.ready[0].configuration
    keys = {get_override_key(override) for override in given}
    scale, epochs = first.values["scale"], int(first.values["schedule"]["length"]["epochs"])
    lengths: dict[int, tuple[str, ...]] = {epochs: ()}
    for share in () if keys & LENGTH_KEYS else LENGTH_SHARES:
        own = {name: round(share * scale[name]) for name in ("epochs", "long_epochs")}
        if own["epochs"] >= LEAST_EPOCHS:
            lengths.setdefault(round(share * epochs), tuple(f"scale.{name}={num}" for name, num in own.items()))
    splits: list[tuple[tuple[str, ...], dict[str, int], int]] = [
        ((), counts, int(get_split(first.values).get("folds", 1)))
    ]
    is_open = "data/split" not in keys and find_scored_share(study) is None
    if is_open and counts["test"] < FEW_TEST_IMAGES and (of_folds := count_of_folds()):
        splits.append((FOLD_OVERRIDES, of_folds, FOLDS))
    return [
        Variant(overrides=(*own, *of_split), epochs=num, share=num / epochs, counts=images, folds=folds)
        for of_split, images, folds in splits
        for num, own in lengths.items()
    ]
