"""What a time, or a number of runs or of training images, buys: the options of `study.time`, and the recommended one.

An option is a study that fits: a design with so many seeds, at a length of training, tested on one part of the images
or on all of them by folds. Other designs answer other questions, and techniques act differently in shorter trainings,
so the recommended option has the design of the command, and the longest training with which its seeds can decide
anything; where folds are offered, it has them: their effect may be larger, as it covers other training images too.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sota_exp.config.split_of_seed import ScoredShare
from sota_exp.report.numbers import format_count
from sota_exp.statistics.units import get_metric_format
from sota_exp.study.cost_estimate import RunCost
from sota_exp.study.results import PlannedStudy
from sota_exp.study.settings import Allowance
from sota_exp.study.study_json_power import StudyNoise, find_scored_share

#: Most seeds of an option: the arms of a null study are 1,000 seeds apart.
MOST_SEEDS = 999

#: Seconds of a run beside its training, validation and evaluation, on a machine of one's own: its files and figures.
RUN_OVERHEAD = 2.5


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A length of training, and a split of the data.

    overrides: that choose it. epochs: of the study's configuration. share: of the epochs that it has without these.
    counts: images of each part of a run. folds: which together test all images; 1: every seed tests the same ones.
    """

    overrides: tuple[str, ...]
    epochs: int
    share: float
    counts: Mapping[str, int]
    folds: int

    @property
    def num_tested(self) -> int:
        """Images that all runs of an arm test together."""
        return sum(self.counts.values()) if self.folds > 1 else self.counts["test"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """A study that fits.

    design: the kind of study. num_tested: images that are tested in all. seconds: of all runs, one after the other.
    shows: the smallest effect shown in four of five studies for other images like these, shows_here: for these test
    images; None: none, or unknown for the metric. overrides: that choose it. is_own: of the design of the command.
    """

    design: str
    epochs: int
    folds: int
    num_tested: int
    seeds: int
    runs: int
    seconds: float
    shows: float | None
    shows_here: float | None
    overrides: tuple[str, ...]
    is_own: bool

    @property
    def effect(self) -> float | None:
        """The effect by which options are compared."""
        return self.shows_here if self.shows is None else self.shows


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The cost of one seed of every arm of the command's design, scaled to other lengths, splits and designs.

    num_at_once: runs that are trained at a time, which take the time of one. overhead: seconds of a run beside its
    training, validation and evaluation.
    """

    runs: Sequence[RunCost]
    num_at_once: int = 1
    overhead: float = RUN_OVERHEAD

    def compute(self, variant: Variant, num_arms: int, unit: str) -> float:
        """Of one seed, in seconds, runs or images; the arms of another design cost what those of this one do."""
        return sum(self.compute_each(variant, unit)) * num_arms / len(self.runs)

    def compute_each(self, variant: Variant, unit: str) -> list[float]:
        """The same of each arm."""
        num_at_once = self.num_at_once if unit == "seconds" else 1
        overhead = self.overhead if unit == "seconds" else 0.0
        return [(_scale_cost(run, variant, unit) + overhead) / num_at_once for run in self.runs]


def _scale_cost(run: RunCost, variant: Variant, unit: str) -> float:
    ratio = {part: variant.counts[part] / max(1, run.counts[part]) for part in ("train", "val", "test")}
    if unit == "runs":
        return 1.0
    if unit == "images":
        return run.images * variant.share * ratio["train"] * run.trains
    scored = ratio["val"] + ratio["test"]
    trained = variant.share * (run.seconds.train * ratio["train"] + run.seconds.validate * ratio["val"])
    return trained * run.trains + run.seconds.evaluate * scored / 2


def build_option(
    study: PlannedStudy,
    variant: Variant,
    costs: Costs,
    allowance: Allowance,
    noise: StudyNoise,
    is_own: bool,
) -> Option | None:
    """As many seeds as fit, or as few as show `study.smallest_effect`; None where none fits."""
    num_arms = len(study.arms.ready)
    per_seed = costs.compute(variant, num_arms, allowance.unit)
    tested, own = find_scored_share(study), noise
    if tested is None and variant.folds > 1:
        to_train = variant.counts["test"] / variant.counts["train"]
        tested = ScoredShare(of_all=1 / variant.folds, to_train=to_train, runs_per_repeat=variant.folds)
        own = noise.of_splits(variant.counts["test"], variant.num_tested)
    steps = min(int(allowance.amount / (per_seed * variant.folds)), MOST_SEEDS // variant.folds)
    if steps < 1 or own.sd is None:
        return None
    sizes = range(variant.folds, steps * variant.folds + 1, variant.folds)
    smallest = study.settings.smallest_effect

    def shows(num: int) -> tuple[float | None, float | None]:
        return own.find_effect(study, num, tested), study.find_planned_effect(own.sd or 0.0, num)

    def is_enough(num: int) -> bool:
        if smallest is None:
            return False
        new, here = shows(num)
        effect = here if new is None else new
        return effect is not None and effect <= smallest

    num = sizes[min(bisect_left(sizes, True, key=is_enough), len(sizes) - 1)]
    new, here = shows(num)
    return Option(
        design=study.settings.kind,
        epochs=variant.epochs,
        folds=variant.folds,
        num_tested=variant.num_tested,
        seeds=num,
        runs=num * num_arms,
        seconds=num * costs.compute(variant, num_arms, "seconds"),
        shows=new if here is not None else None,
        shows_here=here,
        overrides=variant.overrides,
        is_own=is_own,
    )


def recommend(options: Sequence[Option], study: PlannedStudy, epochs: int) -> tuple[int | None, str]:
    """The index of the recommended option and the reason; None where no option of the command's design decides.

    epochs: the configured ones.
    """
    own = [option for option in options if option.is_own and option.effect is not None]
    if not own:
        least = format_count(study.count_fewest_seeds() or MOST_SEEDS, "seed")
        return None, f"no verdict is possible with so few seeds: {least} of every arm are the fewest"
    longest = max(option.epochs for option in own)
    same = [option for option in own if option.epochs == longest]
    best = max(same, key=lambda option: option.num_tested)
    smallest, unit = study.settings.smallest_effect, get_metric_format(study.settings.metric)
    others = [option for option in same if option.num_tested < best.num_tested]
    why = [f"{longest} epochs as configured, since techniques act differently in shorter trainings"]
    if longest < epochs:
        why = [f"at the configured {epochs} epochs too few seeds fit for any verdict, and {longest} is the longest"]
    if others:
        why.append(
            f"folds test all {best.num_tested:,} images instead of {others[0].num_tested:,}, and what they show holds "
            "for other training images too"
        )
    if smallest is not None:
        is_shown = (best.effect or math.inf) <= smallest
        why.append(
            f"{unit.size(smallest)}, the effect of interest, {'is' if is_shown else 'takes more and is not'} shown"
        )
    return options.index(best), "; ".join(why)
