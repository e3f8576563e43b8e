"""The joint test of a study, once or look by look, and the seeds that each arm still needs."""

import functools
import itertools

from sota_exp.statistics.anytime import run_anytime_test
from sota_exp.statistics.interim import InterimResult, build_difference_matrix, run_interim_analyses
from sota_exp.statistics.sign_flip import find_smallest_p_value, sign_flip_test
from sota_exp.study.new_images import needs_no_seeds
from sota_exp.study.plan import BASELINE_ARM
from sota_exp.study.results import PlannedStudy, StudyRuns


def run_arm_tests(study: PlannedStudy, runs: StudyRuns) -> InterimResult:
    """The joint test of all arms and interactions of pairs, once or look by look: sign flips, or evidence at any time.

    `done` and `decided` are of looks alone. An interaction has the name that `PlannedStudy.interactions` gives it.
    """
    settings = study.settings
    found = {arm.name: runs.differences(arm, study.seeds) for arm in study.compared}
    if settings.has_anytime_looks:
        settled = find_settled_seeds(study, runs)
        needs = functools.partial(needs_no_seeds, study, runs)
        return run_anytime_test(found, settled, study.seeds, settings.level, needs)
    if settings.planned_looks is not None:
        settled = find_settled_seeds(study, runs)
        return run_interim_analyses(found, settled, study.seeds, settings.planned_looks, settings.level)
    found |= compute_pair_interactions(study, runs)
    names = [name for name, differences in found.items() if len(differences) > 1]
    joint = sign_flip_test(build_difference_matrix(found, names, study.seeds))
    return InterimResult(
        p_values=dict(zip(names, joint.p_values, strict=True)),
        p_adjusted={
            name: min(1.0, study.num_families * value) for name, value in zip(names, joint.p_adjusted, strict=True)
        },
        seeds=dict.fromkeys(names, len(study.seeds)),
    )


def compute_pair_interactions(study: PlannedStudy, runs: StudyRuns) -> dict[str, dict[int, float]]:
    """Interaction → seed → both − first − second + neither, for the seeds that all four arms have."""
    found = {}
    for name, pair in study.interactions.items():
        both, first, second, neither = map(runs.values, ("+".join(pair), *pair, BASELINE_ARM))
        common = [seed for seed in study.seeds if all(seed in part for part in (both, first, second, neither))]
        found[name] = {seed: both[seed] - first[seed] - second[seed] + neither[seed] for seed in common}
    return found


def find_settled_seeds(study: PlannedStudy, runs: StudyRuns) -> dict[str, frozenset[int]]:
    """Arm → the seeds for which it and its reference each have a result or a failure."""

    def own(name: str) -> set[int]:
        return {*runs.results[name], *runs.failures[name]}

    return {arm.name: frozenset(own(arm.name) & own(str(arm.arm.reference))) for arm in study.compared}


def find_wanted_seeds(study: PlannedStudy, test: InterimResult) -> dict[str, set[int]]:
    """Arm → the seeds that it needs: all, or with looks those up to the next look of its undecided comparisons."""
    looks = study.settings.planned_looks
    if study.settings.has_anytime_looks:
        looks = _list_next_seeds(study, test)
    if looks is None:
        return {arm.name: set(study.seeds) for arm in study.arms.ready}
    following = next((num for num in looks if num not in test.done), looks[-1])
    wanted: dict[str, set[int]] = {arm.name: set(study.seeds[: looks[0]]) for arm in study.arms.ready}
    for arm in study.compared:
        num = test.decided.get(arm.name, following)
        for name in (arm.name, str(arm.arm.reference)):
            wanted[name] |= set(study.seeds[:num])
    return wanted


def _list_next_seeds(study: PlannedStudy, test: InterimResult) -> list[int]:
    """Looks at any time as planned ones: the fewest seeds that can decide, then a quarter more than are done.

    So a launcher that trains several runs at once gets some, and an arm that is decided gets few in vain.
    """
    first = next(num for num in itertools.count(1) if find_smallest_p_value(num) <= 1 - study.settings.level)
    num_done = test.done[-1] if test.done else 0
    return [first, max(first, num_done + max(1, num_done // 4))]
