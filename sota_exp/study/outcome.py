"""From runs to numbers: everything in `study.json`, from the arms and the result files alone.

Times and memory stand under `cost` only; all else is the same to the bit however often the study was interrupted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.study.arms import Arms, ReadyArm
from sota_exp.study.effects import Effect, effects
from sota_exp.study.examples import paired_bootstrap
from sota_exp.study.files import StudyFiles
from sota_exp.study.joint import Joint, sign_flip_test
from sota_exp.study.looks import Looked, look, spent_at
from sota_exp.study.plan import Blueprint
from sota_exp.study.power import POWER, assumed_sd, detectable, seeds_needed
from sota_exp.study.settings import METRICS, Settings
from sota_exp.study.stats import mean_and_sd, paired_difference
from sota_exp.study.verdict import CELL, REFERENCE, Verdict, failed, too_few, verdict

#: Seeds and effects that the plan speaks of.
PLANNED_SEEDS, PLANNED_EFFECTS = (4, 6, 8, 10, 12, 16, 24, 32), (0.001, 0.002, 0.005, 0.01, 0.02)

#: Floating-point operations of a training step an image, over those of its forward pass: backward costs twice as much.
BACKWARD = 3

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is known before any run: what was asked for, the arms, and the seeds."""

    settings: Settings
    name: str
    blueprint: Blueprint
    arms: Arms
    seeds: tuple[int, ...]
    recipe: str
    data: str
    command: str
    budget_note: str = ""

    @property
    def compared(self) -> list[ReadyArm]:
        return [arm for arm in self.arms.ready if arm.arm.reference is not None]


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The results so far: arm → seed → result of a finished run, its place, or why there is none."""

    results: dict[str, dict[int, dict[str, Any]]]
    places: dict[str, dict[int, str]]
    failures: dict[str, dict[int, str]]
    correct: Callable[[str, int], NDArray[np.bool_]]

    @classmethod
    def read(cls, study: Study, files: StudyFiles, failures: Mapping[str, str]) -> "Runs":
        """failures: place → reason, of what has no result of its own."""
        results: dict[str, dict[int, dict[str, Any]]] = {}
        places: dict[str, dict[int, str]] = {}
        reasons: dict[str, dict[int, str]] = {}
        for arm in study.arms.ready:
            results[arm.name], places[arm.name], reasons[arm.name] = {}, {}, {}
            for seed in study.seeds:
                place = files.place(arm, seed)
                found = files.result(place)
                if found is not None and files.is_finished(place):
                    results[arm.name][seed], places[arm.name][seed] = found, place
                elif (reason := files.final_failure(place) or failures.get(place)) is not None:
                    reasons[arm.name][seed] = reason
        split = study.settings.metric.split("/")[0]

        def correct(name: str, seed: int) -> NDArray[np.bool_]:
            with np.load(files.directory / places[name][seed] / "predictions.npz") as arrays:
                return np.unpackbits(arrays[f"{split}_correct"], count=len(arrays[f"{split}_labels"])).astype(bool)

        return cls(results=results, places=places, failures=reasons, correct=correct)

    def values(self, name: str, read: Callable[[Row], float | None]) -> dict[int, float]:
        found = {seed: read(result) for seed, result in self.results[name].items()}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    def differences(self, arm: ReadyArm, read: Callable[[Row], float | None], among: Sequence[int]) -> dict[int, float]:
        """seed → arm − reference, where both have it."""
        assert arm.arm.reference is not None
        own, other = self.values(arm.name, read), self.values(arm.arm.reference, read)
        return {seed: own[seed] - other[seed] for seed in among if seed in own and seed in other}


@dataclass(kw_only=True)
class Tested:
    """p-values of the arms, and how many of the study's seeds each verdict rests on."""

    p_values: dict[str, float] = field(default_factory=dict)
    p_adjusted: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    looked: Looked | None = None


def tested(study: Study, runs: Runs) -> Tested:
    """The joint test over all arms, at once or look by look."""
    metric = _metric(study.settings.metric)
    found = {arm.name: runs.differences(arm, metric, study.seeds) for arm in study.compared}
    if study.settings.looks is not None:
        looked = look(found, settled(study, runs), study.seeds, study.settings.looks, study.settings.level)
        return Tested(p_values=looked.p_values, p_adjusted=looked.p_adjusted, seeds=looked.seeds, looked=looked)
    names = [name for name, differences in found.items() if len(differences) > 1]
    table = np.array([[found[name].get(seed, np.nan) for name in names] for seed in study.seeds])
    joint = sign_flip_test(table.reshape(len(study.seeds), len(names))) if names else Joint(p_values=(), p_adjusted=())
    return Tested(
        p_values=dict(zip(names, joint.p_values, strict=True)),
        p_adjusted=dict(zip(names, joint.p_adjusted, strict=True)),
        seeds={name: len(study.seeds) for name in names},
    )


def settled(study: Study, runs: Runs) -> dict[str, frozenset[int]]:
    """Arm → seeds of which it and its reference each have a result or a failure."""

    def own(name: str) -> set[int]:
        return {*runs.results[name], *runs.failures[name]}

    return {arm.name: frozenset(own(arm.name) & own(str(arm.arm.reference))) for arm in study.compared}


def _metric(name: str) -> Callable[[Row], float | None]:
    return lambda result: result["metrics"].get(name)


def outcome(study: Study, runs: Runs) -> Row:
    """The content of `study.json`."""
    settings = study.settings
    test = tested(study, runs)
    arms = [_arm_row(study, runs, test, arm) for arm in study.arms.ready]
    found_effects, effect_notes = _effects(study, runs)
    first = next((result for arm in study.arms.ready for result in runs.results[arm.name].values()), None)
    missing = _missing(study, runs, test)
    return {
        "version": 1,
        "kind": settings.kind,
        "name": study.name,
        "title": settings.title,
        "recipe": study.recipe,
        "data": study.data,
        "metric": settings.metric,
        "level": settings.level,
        "power": POWER,
        "seeds": list(study.seeds),
        "budget": settings.budget,
        "command": study.command,
        "classes": list(first["per_class_accuracy"]) if first else [],
        "num_test": first["evaluated_images"]["test"] if first else None,
        "environment": _environment(first),
        "arms": arms,
        "refused": [{"name": name, "reason": reason} for name, reason in study.arms.refused],
        "rules": [{"arm": arm.name, "message": text} for arm in study.arms.ready for text in arm.warnings],
        "effects": [_effect_row(study, effect) for effect in found_effects if len(effect.factors) == 1],
        "interactions": [
            *[_effect_row(study, effect) for effect in found_effects if len(effect.factors) == 2],
            *_interactions(study, runs),
        ],
        "looks": _looks(settings, test.looked),
        "plan": plan_of(study, runs, first["evaluated_images"]["test"] if first else None),
        "notes": [*study.blueprint.notes, *([study.budget_note] if study.budget_note else []), *effect_notes],
        "status": "partial" if missing else "complete",
        "missing": missing,
    }


def _environment(result: Row | None) -> Row:
    """Of the first arm's first run."""
    if result is None:
        return {"versions": {}, "device": None, "commit": None, "python": None}
    versions = {name: number for name, number in result["versions"].items() if name != "python"}
    return {
        "versions": versions,
        "device": result["device"],
        "commit": result["commit"],
        "python": result["versions"].get("python"),
    }


def _missing(study: Study, runs: Runs, test: Tested) -> list[Row]:
    """Every run that was planned and is not finished; seeds that an arm is decided without are not planned."""
    wanted = wanted_seeds(study, test)
    return [
        {"arm": arm.name, "seed": seed, "reason": runs.failures[arm.name].get(seed, "not run yet")}
        for arm in study.arms.ready
        for seed in study.seeds
        if seed in wanted[arm.name] and seed not in runs.results[arm.name]
    ]


def wanted_seeds(study: Study, test: Tested) -> dict[str, set[int]]:
    """Arm → the seeds it is to have by what is known now: all, or those up to the next look of an undecided comparison."""
    if test.looked is None:
        return {arm.name: set(study.seeds) for arm in study.arms.ready}
    looks = study.settings.looks or []
    following = next((num for num in looks if num not in test.looked.done), looks[-1])
    wanted: dict[str, set[int]] = {arm.name: set(study.seeds[: looks[0]]) for arm in study.arms.ready}
    for arm in study.compared:
        num = test.looked.decided.get(arm.name, following)
        for name in (arm.name, str(arm.arm.reference)):
            wanted[name] |= set(study.seeds[:num])
    return wanted


def _arm_row(study: Study, runs: Runs, test: Tested, arm: ReadyArm) -> Row:
    metric = _metric(study.settings.metric)
    values = runs.values(arm.name, metric)
    mean, sd = mean_and_sd(list(values.values())) if values else (None, None)
    row: Row = {
        "name": arm.name,
        "label": arm.arm.label,
        "reference": arm.arm.reference,
        "overrides": list(arm.arm.changes),
        "command": " ".join(["sota-exp train", *map(_quoted, arm.overrides)]),
        "choices": {slot: option for slot, option in arm.choices.items() if not slot.startswith("study")},
        "differences": arm.differences,
        "seed_offset": arm.arm.seed_offset,
        "runs": {str(seed): place for seed, place in runs.places[arm.name].items()},
        "failures": {str(seed): reason for seed, reason in runs.failures[arm.name].items()},
        "n": len(values),
        "mean": mean,
        "sd": sd,
        "values": {str(seed): value for seed, value in values.items()},
    }
    if arm.arm.reference is None:
        said = CELL if arm.arm.is_cell else REFERENCE
        if runs.failures[arm.name] and not values:
            said = failed(list(runs.failures[arm.name].values()), 0)
        return (
            row
            | _no_comparison(said)
            | {"calibration": _calibration(runs, arm, []), "cost": _cost(runs, arm, [], None)}
        )
    seeds = study.seeds[: test.seeds.get(arm.name, len(study.seeds))]
    differences = runs.differences(arm, metric, seeds)
    paired = list(differences)
    calibration, cost = _calibration(runs, arm, paired), _cost(runs, arm, paired, _mean(differences.values()))
    if len(differences) < 2:
        reasons = [*runs.failures[arm.name].values(), *runs.failures[arm.arm.reference].values()]
        said = failed(reasons, len(differences)) if reasons else too_few(len(differences))
        return row | _no_comparison(said) | {"n": len(differences), "calibration": calibration, "cost": cost}
    return row | _comparison(study, runs, test, arm, differences) | {"calibration": calibration, "cost": cost}


def _quoted(override: str) -> str:
    return f"'{override}'" if any(sign in override for sign in "[]{}() $&;") else override


def _mean(values: Any) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None


def _no_comparison(said: Verdict) -> Row:
    absent = ("difference", "interval", "p_value", "p_adjusted", "detectable")
    return {
        **dict.fromkeys(absent),
        "verdict": said.word,
        "verdict_words": said.sentence,
        "examples": None,
        "classes": {},
    }


def _comparison(study: Study, runs: Runs, test: Tested, arm: ReadyArm, differences: dict[int, float]) -> Row:
    """An arm against its reference, over the seeds that both have."""
    settings, paired, level = study.settings, list(differences), study.settings.level
    found = paired_difference([0.0] * len(paired), list(differences.values()), level)
    _, sd = mean_and_sd(list(differences.values()))
    smallest = detectable(sd or 0.0, len(paired), len(study.compared), level)
    p_adjusted = test.p_adjusted.get(arm.name)
    better = METRICS[settings.metric]
    if p_adjusted is None:
        said = Verdict(word="too few seeds", sentence="Too few seeds: the first look is not complete.")
    else:
        said = verdict(found.mean, (found.low, found.high), p_adjusted, smallest, len(paired), level, better)
    return {
        "n": len(paired),
        "difference": found.mean,
        "interval": [found.low, found.high],
        "p_value": test.p_values.get(arm.name),
        "p_adjusted": p_adjusted,
        "detectable": smallest,
        "verdict": said.word,
        "verdict_words": said.sentence,
        "examples": _examples(study, runs, arm, paired),
        "classes": _classes(runs, arm, paired, level),
    }


def _examples(study: Study, runs: Runs, arm: ReadyArm, seeds: list[int]) -> Row | None:
    """The same difference over the draw of images, where the metric is an accuracy."""
    if not study.settings.metric.endswith("/accuracy"):
        return None
    own, other = (
        np.mean([runs.correct(name, seed) for seed in seeds], axis=0) for name in (arm.name, str(arm.arm.reference))
    )
    found = paired_bootstrap(other, own, study.settings.level)
    return {
        "difference": found.difference,
        "interval": [found.low, found.high],
        "won": found.won,
        "lost": found.lost,
    }


def _change(
    runs: Runs, arm: ReadyArm, seeds: list[int], read: Callable[[Row], float | None], level: float = 0.95
) -> Row:
    """The paired change of a number of a result, and its interval over seeds; None where there are too few."""
    if arm.arm.reference is None or not seeds:
        return {"difference": None, "interval": None}
    found = list(runs.differences(arm, read, seeds).values())
    if len(found) < 2:
        return {"difference": _mean(found), "interval": None}
    estimate = paired_difference([0.0] * len(found), found, level)
    return {"difference": estimate.mean, "interval": [estimate.low, estimate.high]}


def _calibration(runs: Runs, arm: ReadyArm, seeds: list[int]) -> Row:
    read = _metric("test/ece")
    return {"ece": _mean(runs.values(arm.name, read).values()), **_change(runs, arm, seeds, read)}


def _classes(runs: Runs, arm: ReadyArm, seeds: list[int], level: float) -> dict[str, Row]:
    """Of each class, how its test accuracy changes."""
    names = list(runs.results[arm.name][seeds[0]]["per_class_accuracy"])

    def of(name: str) -> Callable[[Row], float | None]:
        return lambda result: result["per_class_accuracy"][name]

    return {name: _change(runs, arm, seeds, of(name), level) for name in names}


def _cost(runs: Runs, arm: ReadyArm, seeds: list[int], difference: float | None) -> Row:
    """What a run costs on average, and what the arm costs beyond its reference."""

    def seconds(result: Row) -> float | None:
        return result["seconds"].get("train")

    def mean(key: str) -> float | None:
        return _mean(runs.values(arm.name, lambda result: result.get(key)).values())

    change = _change(runs, arm, seeds, seconds)
    extra, interval = change["difference"], change["interval"]
    costs_differ = interval is not None and not interval[0] <= 0 <= interval[1]
    whole = {key: mean(key) for key in ("flops_per_image", "parameters", "peak_memory_bytes")}
    return {
        "seconds": _mean(runs.values(arm.name, seconds).values()),
        "seconds_difference": extra,
        "interval": interval,
        "training_flops": _mean(runs.values(arm.name, lambda result: training_flops(arm, result)).values()),
        **{key: None if value is None else round(value) for key, value in whole.items()},
        "points_per_hour": 100 * difference / (extra / 3600) if costs_differ and difference is not None else None,
    }


def training_flops(arm: ReadyArm, result: Row) -> float:
    """Forward and backward of every training image; the size of its crop counts by its area. A teacher is left out."""
    size = result["resolution"]["chosen"]["size"]
    return BACKWARD * result["flops_per_image"] * (arm.train_size / size) ** 2 * result["images_seen"]


def _effects(study: Study, runs: Runs) -> tuple[list[Effect], list[str]]:
    """Of a screening design: its effects once enough cells are finished, or the reason why there are none yet."""
    blueprint = study.blueprint
    if blueprint.design is None:
        return [], []
    metric = _metric(study.settings.metric)
    names = {arm.name for arm in study.arms.ready}
    cells = [arm.name for arm in blueprint.arms if arm.is_cell]
    values = [runs.values(name, metric) if name in names else {} for name in cells]
    table = np.array([[found.get(seed, np.nan) for seed in study.seeds] for found in values])
    try:
        return effects(blueprint.factors, blueprint.design, table, blueprint.with_pairs, study.settings.level), []
    except ValueError as error:
        return [], [f"No effects yet: {error}."]


def _effect_row(study: Study, effect: Effect) -> Row:
    better = METRICS[study.settings.metric]
    significant = effect.p_adjusted <= 1 - study.settings.level
    word = ("helps" if (effect.estimate > 0) == better else "hurts") if significant else "cannot be distinguished"
    size = f"{100 * effect.estimate:+.2f} points, {study.settings.level:.0%} interval {100 * effect.low:+.2f} to {100 * effect.high:+.2f}"
    sentence = f"{word.capitalize()}{'' if significant else ' from no effect'}: {size}."
    labels = {arm.name: arm.label for arm in study.blueprint.arms} | dict(study.blueprint.labels)
    which = {"factor": effect.factors[0]} if len(effect.factors) == 1 else {"factors": list(effect.factors)}
    return {
        **which,
        "label": " × ".join(labels.get(name, name) for name in effect.factors),
        "estimate": effect.estimate,
        "interval": [effect.low, effect.high],
        "p_value": effect.p_value,
        "p_adjusted": effect.p_adjusted,
        "verdict": word,
        "verdict_words": sentence,
        "aliases": list(effect.aliases),
    }


def _interactions(study: Study, runs: Runs) -> list[Row]:
    """Of a study of pairs: paired over seeds, and tested jointly."""
    names = {arm.name for arm in study.arms.ready}
    found: list[tuple[Any, dict[int, float]]] = []
    for item in study.blueprint.interactions:
        if not {item.both, item.first, item.second, item.neither} <= names:
            continue
        parts = [
            runs.values(name, _metric(study.settings.metric))
            for name in (item.both, item.first, item.second, item.neither)
        ]
        common = [seed for seed in study.seeds if all(seed in part for part in parts)]
        both, first, second, neither = parts
        found.append((item, {seed: both[seed] - first[seed] - second[seed] + neither[seed] for seed in common}))
    enough = [(item, values) for item, values in found if len(values) > 1]
    if not enough:
        return []
    joint = sign_flip_test([[values.get(seed, np.nan) for _, values in enough] for seed in study.seeds])
    rows = []
    for (item, values), own, adjusted in zip(enough, joint.p_values, joint.p_adjusted, strict=True):
        estimate = paired_difference([0.0] * len(values), list(values.values()), study.settings.level)
        effect = Effect(
            factors=item.factors,
            estimate=estimate.mean,
            low=estimate.low,
            high=estimate.high,
            p_value=own,
            p_adjusted=adjusted,
            aliases=(),
        )
        rows.append(_effect_row(study, effect))
    return rows


def _looks(settings: Settings, looked: Looked | None) -> Row | None:
    if looked is None or settings.looks is None:
        return None
    planned = spent_at(settings.looks, settings.level)
    return {
        "planned": settings.looks,
        "alpha_planned": planned,
        "done": looked.done,
        "alpha_spent": planned[: len(looked.done)],
        "decided": looked.decided,
    }


def plan_of(study: Study, runs: Runs, num_test: int | None) -> Row:
    """What so many seeds can find, from the spread of this study's own differences, or an assumed one before there are any."""
    metric, level = _metric(study.settings.metric), study.settings.level
    spreads = []
    for arm in study.compared:
        found = list(runs.differences(arm, metric, study.seeds).values())
        if len(found) > 2:
            spreads.append((np.var(found, ddof=1), len(found) - 1))
    sd, source = 0.01, "an assumption: one point"
    if spreads:
        sd = float(np.sqrt(sum(variance * df for variance, df in spreads) / sum(df for _, df in spreads)))
        source = f"this study's {sum(df + 1 for _, df in spreads)} differences"
    elif num_test:
        sd, source = assumed_sd(num_test), f"an assumption: a fifth of {num_test:,} test images change sides"
    arms = max(1, len(study.compared))
    seeds = sorted({*PLANNED_SEEDS, len(study.seeds)})
    return {
        "sd_assumed": sd,
        "sd_source": source,
        "num_arms": arms,
        "detectable": {str(num): detectable(sd, num, arms, level) for num in seeds},
        "seeds_needed": {str(effect): seeds_needed(effect, sd, arms, level) for effect in PLANNED_EFFECTS},
    }
