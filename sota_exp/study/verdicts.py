"""Joint tests of all arms against their references, once or look by look, and the seeds that each arm still needs."""

from dataclasses import dataclass, field

import numpy as np

from sota_exp.statistics.interim import InterimResult, run_interim_analyses
from sota_exp.statistics.sign_flip import SignFlipResult, sign_flip_test
from sota_exp.study.results import PlannedStudy, StudyRuns, make_metric_reader


@dataclass(kw_only=True)
class ArmTests:
    """p-values by arm, the number of seeds behind each verdict, and the interim looks, where planned."""

    p_values: dict[str, float] = field(default_factory=dict)
    p_adjusted: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    interim: InterimResult | None = None


def run_arm_tests(study: PlannedStudy, runs: StudyRuns) -> ArmTests:
    """The joint sign-flip test of all arms, once or look by look."""
    metric = make_metric_reader(study.settings.metric)
    found = {arm.name: runs.differences(arm, metric, study.seeds) for arm in study.compared}
    if study.settings.looks is not None:
        looked = run_interim_analyses(
            found, find_settled_seeds(study, runs), study.seeds, study.settings.looks, study.settings.level
        )
        return ArmTests(p_values=looked.p_values, p_adjusted=looked.p_adjusted, seeds=looked.seeds, interim=looked)
    names = [name for name, differences in found.items() if len(differences) > 1]
    table = np.array([[found[name].get(seed, np.nan) for name in names] for seed in study.seeds])
    joint = (
        sign_flip_test(table.reshape(len(study.seeds), len(names)))
        if names
        else SignFlipResult(p_values=(), p_adjusted=())
    )
    return ArmTests(
        p_values=dict(zip(names, joint.p_values, strict=True)),
        p_adjusted=dict(zip(names, joint.p_adjusted, strict=True)),
        seeds={name: len(study.seeds) for name in names},
    )


def find_settled_seeds(study: PlannedStudy, runs: StudyRuns) -> dict[str, frozenset[int]]:
    """Arm → the seeds for which it and its reference each have a result or a failure."""

    def own(name: str) -> set[int]:
        return {*runs.results[name], *runs.failures[name]}

    return {arm.name: frozenset(own(arm.name) & own(str(arm.arm.reference))) for arm in study.compared}


def find_wanted_seeds(study: PlannedStudy, test: ArmTests) -> dict[str, set[int]]:
    """Arm → the seeds that it needs: all, or with looks those up to the next look of its undecided comparisons."""
    if test.interim is None:
        return {arm.name: set(study.seeds) for arm in study.arms.ready}
    looks = study.settings.looks or []
    following = next((num for num in looks if num not in test.interim.done), looks[-1])
    wanted: dict[str, set[int]] = {arm.name: set(study.seeds[: looks[0]]) for arm in study.arms.ready}
    for arm in study.compared:
        num = test.interim.decided.get(arm.name, following)
        for name in (arm.name, str(arm.arm.reference)):
            wanted[name] |= set(study.seeds[:num])
    return wanted
