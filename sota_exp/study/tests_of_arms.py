"""Joint tests of all arms against their references, once or look by look, and the seeds that each arm still needs."""

from dataclasses import dataclass, field

import numpy as np

from sota_exp.statistics.interim import Looked, look
from sota_exp.statistics.sign_flip import Joint, sign_flip_test
from sota_exp.study.results import Runs, Study, metric_of


@dataclass(kw_only=True)
class Tested:
    """p-values by arm, the number of seeds behind each verdict, and the interim looks, where planned."""

    p_values: dict[str, float] = field(default_factory=dict)
    p_adjusted: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    looked: Looked | None = None


def tested(study: Study, runs: Runs) -> Tested:
    """The joint sign-flip test of all arms, once or look by look."""
    metric = metric_of(study.settings.metric)
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
    """Arm → the seeds for which it and its reference each have a result or a failure."""

    def own(name: str) -> set[int]:
        return {*runs.results[name], *runs.failures[name]}

    return {arm.name: frozenset(own(arm.name) & own(str(arm.arm.reference))) for arm in study.compared}


def wanted_seeds(study: Study, test: Tested) -> dict[str, set[int]]:
    """Arm → the seeds that it needs: all, or with looks those up to the next look of its undecided comparisons."""
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
