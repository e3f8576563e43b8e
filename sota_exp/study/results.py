"""A study as it was planned, and the results of its runs so far."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.config.split_of_seed import describe_folds
from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.scored_images import describe_cut, get_image_digest, has_groups
from sota_exp.statistics.planned_effect import EffectOverSeeds
from sota_exp.statistics.power import MAX_SEEDS, find_detectable_difference, find_detectable_main_effect
from sota_exp.statistics.sign_flip import find_smallest_p_value
from sota_exp.statistics.stopping import find_detectable_anytime_effect
from sota_exp.study.arms import ComposedArm, ComposedArms
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import BASELINE_ARM, StudyDesign
from sota_exp.study.settings import StudySettings

JsonObject = dict[str, Any]

#: Reads a number from a result.
NumberReader = Callable[[JsonObject], float | None]


@dataclass(frozen=True, kw_only=True)
class PlannedStudy:
    """What is known before the first run: settings, arms and seeds.

    name: the option of the group `study`. command: the command that repeats the study. own_directories:
    its words that name the user's directories of YAML files.
    """

    settings: StudySettings
    name: str
    blueprint: StudyDesign
    arms: ComposedArms
    seeds: tuple[int, ...]
    recipe: str
    data: str
    command: str
    own_directories: tuple[str, ...] = ()
    budget_note: str = ""
    time_plan: JsonObject | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said of the design, and of how often these seeds test each image."""
        values = self.arms.ready[0].configuration.values
        return (*self.blueprint.notes, *describe_folds(values, self.seeds, "study.seeds"))

    @property
    def compared(self) -> list[ComposedArm]:
        """The arms that have a reference."""
        return [arm for arm in self.arms.ready if arm.arm.reference is not None]

    def describe_size(self) -> str:
        """`13 arms × 8 seeds`, or `24 cells, then up to 13 arms × 8 seeds` of a study of two stages."""
        num, seeds = len(self.arms.ready), f"{'up to ' * self.settings.has_anytime_looks}{len(self.seeds)} seeds"
        if self.settings.kind != "auto":
            return f"{num} arms × {seeds}"
        num_cells = sum(arm.arm.is_cell for arm in self.arms.ready)
        return f"{num_cells} cells, then up to {num - num_cells} arms × {seeds}"

    def describe_length(self) -> str:
        """`4 epochs at 128 px; the recipe's own length is 30 epochs`; of several lengths or sizes the ends."""
        first = self.arms.ready[0].configuration
        trees = [arm.configuration.values for arm in self.arms.ready]
        epochs = [int(tree["schedule"]["length"]["epochs"]) for tree in trees]
        own = first.values["recipe"]["long_epochs" if first.choices["schedule/length"] == "long" else "epochs"]
        differs = "" if own == epochs[0] else f"; the recipe's own length is {own} epochs"
        sizes, noun = [int(tree["data"]["image_size"]) for tree in trees], "epoch" if max(epochs) == 1 else "epochs"
        return f"{_join_ends(epochs)} {noun} at {_join_ends(sizes)} px{differs}"

    @property
    def interactions(self) -> dict[str, tuple[str, str]]:
        """`a × b` → (a, b): the interactions of a study of pairs whose four arms are trained."""
        ready = {arm.name for arm in self.arms.ready}
        return {
            " × ".join(pair): pair for pair in self.blueprint.pairs if ready >= {BASELINE_ARM, *pair, "+".join(pair)}
        }

    @property
    def num_tests(self) -> int:
        """Number of comparisons in the sign-flip test of the study: arms, and interactions of pairs."""
        return max(1, len(self.compared) + len(self.interactions))

    @property
    def num_families(self) -> int:
        """Number of tests that share the error: 2 where arms stand beside the effects of a design, else 1."""
        return 2 if self.blueprint.design is not None and self.compared else 1

    @property
    def num_families_of_effects(self) -> int:
        """The same for the effects, which have the error alone where these seeds cannot decide an arm at half of it."""
        can_decide = find_smallest_p_value(len(self.seeds)) <= (1 - self.settings.level) / 2
        return self.num_families if can_decide else 1

    def get_test_level(self, num_seeds: int) -> float:
        """Confidence level of a test on `num_seeds` seeds, in (0, 1): that of its look or its share of the error."""
        return 1 - (1 - self.settings.get_test_level(num_seeds)) / self.num_families

    def find_detectable(self, sd: float, num_pairs: int, last_look: int) -> float | None:
        """The smallest difference that `num_pairs` show in four of five studies; None: too few for any.

        sd: of the differences. last_look: the number of seeds at the last look, or of the study.
        """
        if not self.settings.has_anytime_looks:
            return find_detectable_difference(sd, num_pairs, self.num_tests, self.get_test_level(last_look))
        effect = find_detectable_anytime_effect(num_pairs, self.num_tests, self.settings.level)
        return None if effect is None else effect * sd

    @property
    def num_effects(self) -> int:
        """Number of effects that a screening design estimates: main effects, and interactions if asked for."""
        num = len(self.blueprint.factors)
        return num * (num + 1) // 2 if self.settings.interactions else num

    def find_detectable_main_effect(self, sd: float, num_seeds: int) -> float | None:
        """The smallest main effect of a screening design that so many seeds per cell show; None: none."""
        assert self.blueprint.design is not None
        level = 1 - (1 - self.settings.level) / self.num_families_of_effects
        return find_detectable_main_effect(sd, len(self.blueprint.design), num_seeds, self.num_effects, level)

    def plan_effect(self, sd: float, num_seeds: int) -> EffectOverSeeds:
        """What the study shows over so many seeds. sd: of the differences."""
        num_cells = 0 if self.blueprint.design is None else len(self.blueprint.design)
        error = sd * math.sqrt(2 / (num_cells * num_seeds) if num_cells else 1 / num_seeds)
        df = max(1, num_cells - 1) * (num_seeds - 1) or num_cells - 1 - self.num_effects
        return EffectOverSeeds(smallest=self.find_planned_effect(sd, num_seeds), error=error, df=max(1, df))

    def count_cell_seeds(self, sd: float, effect: float) -> int | None:
        """The fewest seeds per cell that show a main effect; None: more than `MAX_SEEDS`, or the effect is zero."""

        def is_enough(num: int) -> bool:
            shown = self.find_detectable_main_effect(sd, num)
            return shown is not None and shown <= effect

        found = bisect_left(range(MAX_SEEDS + 1), True, lo=2, key=is_enough)
        return found if effect > 0 and found <= MAX_SEEDS else None

    def find_planned_effect(self, sd: float, num_seeds: int) -> float | None:
        """The smallest effect that the study shows in four of five studies if it has so many seeds; None: none."""
        planned = replace(self, seeds=tuple(range(num_seeds)))
        if planned.blueprint.design is not None:
            return planned.find_detectable_main_effect(sd, num_seeds)
        return planned.find_detectable(sd, num_seeds, num_seeds)

    def count_fewest_seeds(self) -> int | None:
        """The fewest seeds of every arm with which any effect can be shown; None: more than are looked for."""
        sizes = self.settings.planned_looks or range(2, 100)
        return next((num for num in sizes if self.find_planned_effect(1.0, num) is not None), None)


def _join_ends(numbers: Sequence[int]) -> str:
    """`4`, or `4 to 16` of different ones."""
    ends = sorted({min(numbers), max(numbers)})
    return " to ".join(map(str, ends))


@dataclass(frozen=True, kw_only=True)
class StudyRuns:
    """The results so far, all by arm and seed.

    metric: of the study. results: contents of `result.json` of finished runs. directories: of these, relative to the
    study's. failures: why a run has no result. correct: reads bool [N], whether each image of the metric's split was
    classified correctly. images: reads int64 [N], which images of the data set these are; None in older files. groups:
    reads int64 [N], which of them vary together; None: none does.
    """

    metric: str
    results: dict[str, dict[int, JsonObject]]
    directories: dict[str, dict[int, str]]
    failures: dict[str, dict[int, str]]
    correct: Callable[[str, int], NDArray[np.bool_]]
    images: Callable[[str, int], NDArray[np.int64] | None]
    groups: Callable[[str, int], NDArray[np.int64] | None]

    @classmethod
    def read(cls, study: PlannedStudy, files: StudyFiles, failures: Mapping[str, str]) -> "StudyRuns":
        """Read the files of a study. failures: place → reason, for runs that wrote no result."""
        results: dict[str, dict[int, JsonObject]] = {}
        places: dict[str, dict[int, str]] = {}
        reasons: dict[str, dict[int, str]] = {}
        for arm in study.arms.ready:
            results[arm.name], places[arm.name], reasons[arm.name] = {}, {}, {}
            for seed in study.seeds:
                place = files.place(arm, seed)
                found = files.result(place)
                if found is not None and files.is_finished(place):
                    results[arm.name][seed], places[arm.name][seed] = found, place
                elif (reason := files.find_repeatable_failure(place) or failures.get(place)) is not None:
                    reasons[arm.name][seed] = reason
        metric = study.settings.metric
        split = metric.split("/")[0]

        def correct(name: str, seed: int) -> NDArray[np.bool_]:
            return files.read_correct(places[name][seed], split)

        def read_numbers(of: str, name: str, seed: int) -> NDArray[np.int64] | None:
            with open_arrays(files.directory / places[name][seed] / "predictions.npz") as arrays:
                return arrays.get(f"{split}_{of}")

        def groups(name: str, seed: int) -> NDArray[np.int64] | None:
            return read_numbers("groups", name, seed) if has_groups(results[name][seed], split) else None

        return cls(
            metric=metric,
            results=results,
            directories=places,
            failures=reasons,
            correct=correct,
            images=partial(read_numbers, "images"),
            groups=groups,
        )

    def have_same_images(self, arm: ComposedArm, reference: ComposedArm, seeds: Sequence[int]) -> bool:
        """Whether the runs of both arms scored the same images of the metric's split, in the same order.

        By the digests in their results; in older ones by the number of images and the values that cut the data.
        """
        part = self.metric.split("/")[0]
        results = [self.results[each.name][seed] for each in (arm, reference) for seed in seeds]
        found, counts = (
            {get_image_digest(each, part) for each in results},
            {each["evaluated_images"][part] for each in results},
        )
        if None not in found:
            return len(found) == 1
        cuts = [describe_cut(each.configuration.values) for each in (arm, reference)]
        return len(counts) == 1 and cuts[0] == cuts[1]

    @property
    def first(self) -> JsonObject | None:
        """The first result of the first arm that has one."""
        return next((result for found in self.results.values() for result in found.values()), None)

    def list_results(self) -> list[JsonObject]:
        """The results of all arms and seeds."""
        return [result for found in self.results.values() for result in found.values()]

    def values(self, name: str, read: NumberReader | None = None) -> dict[int, float]:
        """Seed → the study's metric, or the number that `read` takes from an arm's result, where there is one."""
        read = read or (lambda result: result["metrics"].get(self.metric))
        found = {seed: read(result) for seed, result in self.results[name].items()}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    def differences(self, arm: ComposedArm, among: Sequence[int], read: NumberReader | None = None) -> dict[int, float]:
        """Seed → arm − reference, for the seeds of `among` that both have."""
        assert arm.arm.reference is not None
        own, other = self.values(arm.name, read), self.values(arm.arm.reference, read)
        return {seed: own[seed] - other[seed] for seed in among if seed in own and seed in other}
