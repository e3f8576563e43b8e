"""What would decide the open questions of a study: the entry `next` of `study.json`, for the terminal and the page."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from sota_exp.config.split_of_seed import get_split
from sota_exp.config.values import join_first
from sota_exp.report.numbers import format_count, format_duration
from sota_exp.statistics.planned_effect import compute_images_quantile
from sota_exp.statistics.stopping import find_num_anytime_seeds
from sota_exp.statistics.units import get_metric_format
from sota_exp.statistics.verdict import SHOWN, SHOWN_HERE
from sota_exp.statistics.what_next import Advice, SeedsFinder, advise, describe_advice, describe_lack_of_images
from sota_exp.study.arms import ComposedArm
from sota_exp.study.chance import find_arms_at_chance
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.study_json_power import StudyNoise, find_scored_share
from sota_exp.study.tested_images import read_correctness
from sota_exp.study.verdicts import compute_pair_interactions

#: Verdicts that leave nothing open, or have no runs to say what would decide them.
CLOSED = (*SHOWN, "reference", "failed")

#: Most open questions that have a line each; the others are in `open`.
MOST_LISTED = 6

#: Reasons that no further seed changes; they are said first.
FIRST_REASONS = ("same", "equal")

NOTHING_LEARNED = (
    "At this length no training learned anything: all arms are at chance level, so more seeds or images decide "
    "nothing. Train longer, on more images, or with another learning rate."
)


@dataclass(frozen=True, kw_only=True)
class OpenQuestion:
    """A difference without a verdict. seconds: that one seed of it takes; None where that is unknown."""

    name: str
    label: str
    advice: Advice
    seconds: float | None

    def in_whole_repeats(self, folds: int) -> "OpenQuestion":
        """With as many seeds as test each image equally often."""
        seeds = self.advice.num_seeds
        return (
            self if seeds is None else replace(self, advice=replace(self.advice, num_seeds=-(-seeds // folds) * folds))
        )

    def to_json(self, words: str) -> JsonObject:
        seeds = self.advice.num_seeds
        return {
            "name": self.name,
            "reason": self.advice.reason,
            "effect": self.advice.effect,
            "seeds": seeds,
            "seconds": None if seeds is None or self.seconds is None else seeds * self.seconds,
            "images": self.advice.num_images,
            "words": words,
        }


def build_next(study: PlannedStudy, runs: StudyRuns, found: JsonObject, noise: StudyNoise) -> JsonObject:
    """The entry `next`. lines: sentences in their order; open: the questions without a verdict.

    found: the content of `study.json` so far.
    """
    missing = found["missing"]
    lines = [f"{format_count(len(missing), 'run')} missing: the same command goes on."] if missing else []
    lines += _describe_left_seeds(study, runs)
    ready = [arm.name for arm in study.arms.ready if runs.results[arm.name]]
    if ready and set(find_arms_at_chance(study, runs)) >= set(ready):
        return {"lines": [NOTHING_LEARNED, *lines], "open": []}
    questions = _ask_arms(study, runs, found, noise)
    num_images = noise.count_images(find_scored_share(study)) if study.arms.ready else None
    questions += [*_ask_interactions(study, runs, found, num_images), *_ask_effects(study, found, noise, num_images)]
    folds, unit = _count_folds(study), get_metric_format(study.settings.metric)
    questions = sorted((question.in_whole_repeats(folds) for question in questions), key=_rank)
    wanted = study.settings.smallest_effect is not None
    words = [describe_advice(each.advice, num_images, unit, wanted, _make_cost(each)) for each in questions]
    lacking = {each.label: each.advice for each in questions if each.advice.reason == "images"}
    together = describe_lack_of_images(lacking, num_images, unit, wanted) if len(lacking) > 1 else ""
    by_words = dict[str, list[str]]()
    for question, own in zip(questions, words, strict=True):
        if together and question.advice.reason == "images":
            by_words[together] = []
        else:
            by_words.setdefault(own, []).append(question.label)
    told = [f"{join_first(labels, 4)}: {own}" if labels else own for own, labels in by_words.items()]
    rest = [f"{len(told) - MOST_LISTED} more open questions are in study.json."] if len(told) > MOST_LISTED else []
    how = _describe_how(study, questions) if questions else []
    if not questions and not missing and found["status"] == "complete":
        how = ["Nothing is open: every comparison has its verdict."]
    entries = [question.to_json(own) for question, own in zip(questions, words, strict=True)]
    return {"lines": [*lines, *told[:MOST_LISTED], *rest, *how], "open": entries}


def _describe_left_seeds(study: PlannedStudy, runs: StudyRuns) -> list[str]:
    """How much of the plan of `study.time` its time left over; [] if nothing, or without one."""
    plan = study.time_plan or {"recommended": None}
    num_planned = 0 if plan["recommended"] is None else plan["options"][plan["recommended"]]["seeds"]
    if (num_left := num_planned - len(study.seeds)) <= 0:
        return []
    done = f"{len(study.seeds)} of {format_count(num_planned, 'seed')}"
    seconds = _measure_seconds(runs, (arm.name for arm in study.arms.ready))
    takes = "" if seconds is None else f", in about {format_duration(num_left * seconds / plan.get('runs_at_once', 1))}"
    return [
        f"study.time={study.settings.time} was enough for {done}: the same command trains the other {num_left}{takes}. "
        "Do so whatever the verdicts are: a second look because they are open makes wrong ones more frequent."
    ]


def _count_folds(study: PlannedStudy) -> int:
    return int(get_split(study.arms.ready[0].configuration.values).get("folds", 1)) if study.arms.ready else 1


def _rank(question: OpenQuestion) -> tuple[bool, bool, float]:
    """What nothing was learned from first, then the fewest seeds."""
    advice = question.advice
    return advice.reason not in FIRST_REASONS, advice.num_seeds is None, advice.num_seeds or 0


def _make_cost(question: OpenQuestion) -> Callable[[int], str]:
    return lambda num: "" if question.seconds is None else f" ({format_duration(num * question.seconds)})"


def _measure_seconds(runs: StudyRuns, names: Iterable[str]) -> float | None:
    """Mean seconds of one seed of these arms together; None without runs."""
    means = [
        float(np.mean([sum(value for value in result["seconds"].values()) for result in runs.results[name].values()]))
        for name in names
        if runs.results[name]
    ]
    return sum(means) if means else None


def _ask_arms(study: PlannedStudy, runs: StudyRuns, found: JsonObject, noise: StudyNoise) -> list[OpenQuestion]:
    arms = {arm.name: arm for arm in study.arms.ready}
    entries = [entry for entry in found["arms"] if entry["reference"] is not None and entry["verdict"] not in CLOSED]
    asked, num_images = [], noise.count_images(find_scored_share(study))
    for entry in entries:
        arm, reference = arms[entry["name"]], arms[entry["reference"]]
        differences = runs.differences(arm, study.seeds)
        interval = entry["interval"] and (float(entry["interval"][0]), float(entry["interval"][1]))
        is_here = entry["verdict"] in SHOWN_HERE
        finder = _make_anytime_finder(study, len(differences), entry.get("further_seeds"), is_here)
        advice = advise(
            list(differences.values()),
            study.num_tests,
            study.get_test_level(len(study.seeds)),
            study.settings.smallest_effect,
            interval,
            _get_lasting(entry) if is_here else _compute_image_variance(noise, num_images),
            num_images or None,
            _is_same(study, runs, arm, reference, list(differences)),
            finder if study.settings.has_anytime_looks else None,
        )
        names = (arm.name, reference.name)
        seconds = _measure_seconds(runs, names)
        asked.append(OpenQuestion(name=arm.name, label=arm.arm.label, advice=advice, seconds=seconds))
    return asked


def _make_anytime_finder(study: PlannedStudy, num_seeds: int, further: int | None, is_here: bool) -> SeedsFinder:
    """The seeds in all that half of the studies need under looks at any time.

    further: those of the evidence of an open arm. is_here: it has this evidence, and lacks that for new images, whose
    interval has half of the error for the seeds.
    """
    if not is_here:
        return lambda effect, sd: None if further is None else num_seeds + further

    def find(effect: float, sd: float) -> int | None:
        found = find_num_anytime_seeds(effect / sd, study.num_tests, (1 + study.settings.level) / 2, power=0.5)
        return None if found is None else max(found, num_seeds + 1)

    return find


def _compute_image_variance(noise: StudyNoise, num_images: int) -> float:
    """The variance of a mean difference that more seeds do not remove; 0 where it is unknown or only assumed."""
    return 0.0 if noise.noise is None or noise.is_assumed else noise.noise.images / num_images


def _get_lasting(entry: JsonObject) -> float:
    """The same of one arm, effect or interaction; 0 where it is unknown."""
    found = entry["new_images"]
    return float(found["lasting"]) if found is not None else 0.0


def _is_same(study: PlannedStudy, runs: StudyRuns, arm: ComposedArm, reference: ComposedArm, seeds: list[int]) -> bool:
    """Whether both arms are right on the same images at every seed."""
    is_accuracy = study.settings.metric.endswith("/accuracy")
    read = read_correctness(runs, arm, reference, seeds) if is_accuracy and len(seeds) > 1 else None
    return read is not None and bool(np.array_equal(read.own, read.other))


def _ask_interactions(
    study: PlannedStudy, runs: StudyRuns, found: JsonObject, num_images: int | None
) -> list[OpenQuestion]:
    """The open interactions of a study of pairs, whose noise is that of four runs."""
    differences = compute_pair_interactions(study, runs)
    asked = []
    for entry in found["interactions"]:
        name = " × ".join(entry["factors"])
        if name not in differences or entry["verdict"] in CLOSED:
            continue
        advice = advise(
            list(differences[name].values()),
            study.num_tests,
            study.get_test_level(len(study.seeds)),
            study.settings.smallest_effect,
            image_variance=_get_lasting(entry),
            num_images=num_images or None,
        )
        first, second = study.interactions[name]
        seconds = _measure_seconds(runs, (f"{first}+{second}", first, second))
        asked.append(OpenQuestion(name=name, label=entry["label"], advice=advice, seconds=seconds))
    return asked


def _ask_effects(
    study: PlannedStudy, found: JsonObject, noise: StudyNoise, num_images: int | None
) -> list[OpenQuestion]:
    """The open effects of a screening design, by the seeds per cell that would show them, if any can."""
    if study.blueprint.design is None or noise.sd is None:
        return []
    asked = []
    for entry in (*found["effects"], *found["interactions"]):
        if entry["verdict"] in CLOSED:
            continue
        effect = study.settings.smallest_effect or abs(entry["estimate"])
        left = compute_images_quantile(study.num_effects, study.settings.level) ** 2 * _get_lasting(entry)
        if effect**2 > left:
            num = study.count_cell_seeds(noise.sd, math.sqrt(effect**2 - left))
            advice = Advice(reason="seeds" if num else "far", effect=effect, num_seeds=num)
        else:
            here = study.find_detectable_main_effect(noise.sd, len(study.seeds)) or 0.0
            needed = math.ceil((num_images or 0) * (left + here**2) / effect**2)
            advice = Advice(reason="images", effect=effect, num_images=needed)
        name = entry.get("factor") or " × ".join(entry["factors"])
        seconds = [arm["cost"]["seconds"] for arm in found["arms"] if arm["cost"]["seconds"] is not None]
        asked.append(OpenQuestion(name=name, label=entry["label"], advice=advice, seconds=sum(seconds) or None))
    return asked


def _describe_how(study: PlannedStudy, questions: list[OpenQuestion]) -> list[str]:
    """How to get what the open questions need, without making wrong verdicts more frequent."""
    settings, folds = study.settings, _count_folds(study)
    seeds = [each.advice.num_seeds for each in questions if each.advice.num_seeds is not None]
    lines = []
    if any(each.advice.reason == "images" for each in questions) and find_scored_share(study) is None:
        lines.append("Where test images lack, data/split=cross_validation tests all images of the data set.")
    if not seeds:
        return lines
    if settings.has_anytime_looks:
        return [*lines, f"study.seeds={max(seeds)} goes on: these verdicts hold whenever you look."]
    first = -(-(max(study.seeds) + 1) // folds) * folds
    twice = f"{200 * (1 - settings.level):.3g}"
    return [
        *lines,
        "If effects are as they seem. More seeds because a verdict is open make wrong ones more frequent: ask in a new "
        f"study (seed={first} study.seeds={min(seeds)}), or go on with study.looks=anytime, whose verdicts hold "
        f"whenever you look (with this one, at most {twice} % are wrong).",
    ]
