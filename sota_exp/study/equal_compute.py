"""Equal compute instead of equal epochs: each arm trains for about as many steps, FLOPs or seconds as the first arm.

An epoch of each arm is measured once and kept in `budget.json`, so that a repeated command plans the same runs.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sota_exp.config.values import get_override_key
from sota_exp.errors import ConfigError, convert_errors
from sota_exp.models.cost import count_flops
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.study.arms import NO_CHANGE_REASON, ComposedArm, ComposedArms, StudyConfiguration, compose_arms
from sota_exp.study.cost_estimate import SECONDS_PER_ARM, measure_arm
from sota_exp.study.plan import StudyDesign
from sota_exp.study.study_json_arms import STEP_TO_FORWARD_FLOPS
from sota_exp.study.technique import merge_overrides

#: The overrides that set the length of an arm.
LENGTH_KEY, STANDARD_LENGTH = "schedule.length.epochs", "schedule/length=standard"


@dataclass(frozen=True, kw_only=True)
class EpochCost:
    """The cost of one epoch by kind of budget, FLOPs without those of a teacher. epochs: of the arm's own training."""

    epochs: int
    steps: int
    flops: float
    seconds: float


@convert_errors()
def measure_epoch_cost(arm: ComposedArm) -> EpochCost:
    """The cost of an epoch, from a few training steps of the arm."""
    session, state, measured = measure_arm(arm, SECONDS_PER_ARM)
    steps = session.steps_per_epoch
    flops = count_flops(state.model, session.crops.size) * steps * session.experiment.batch_size
    return EpochCost(
        epochs=session.experiment.schedule.length.epochs,
        steps=steps,
        flops=float(STEP_TO_FORWARD_FLOPS * flops),
        seconds=steps * measured.seconds_per_step,
    )


def cache_epoch_costs(path: Path, measure: Callable[[ComposedArm], EpochCost]) -> Callable[[ComposedArm], EpochCost]:
    """`measure` with a cache in the file `path`, `budget.json`: each training is measured once."""
    known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def load_or_measure(arm: ComposedArm) -> EpochCost:
        if arm.training not in known:
            known[arm.training] = asdict(measure(arm))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_recomputable_text(path, json.dumps(known, indent=2) + "\n")
        return EpochCost(**known[arm.training])

    return load_or_measure


def compute_equal_epochs(epochs: Mapping[str, EpochCost], budget: str) -> dict[str, int]:
    """Arm → the number of epochs, at least one, that costs about as much as the whole training of the first arm."""
    first = next(iter(epochs.values()))
    total = first.epochs * vars(first)[budget]
    return {name: max(1, round(total / vars(epoch)[budget])) for name, epoch in epochs.items()}


def apply_equal_budget(
    arms: ComposedArms, base: StudyConfiguration, budget: str, measure: Callable[[ComposedArm], EpochCost]
) -> tuple[ComposedArms, str]:
    """The arms, as long as the budget allows, and a sentence with their epochs; arms that no longer differ are refused.

    Raises:
        ConfigError: the command fixes the number of epochs.
    """
    if any(get_override_key(override) == LENGTH_KEY for override in base.overrides):
        raise ConfigError(f"study.budget={budget} chooses {LENGTH_KEY} for every arm; set scale.epochs instead")
    lengths = compute_equal_epochs({arm.name: measure(arm) for arm in arms.ready}, budget)
    with_lengths = [
        replace(arm, overrides=merge_overrides(arm.overrides, [STANDARD_LENGTH, f"{LENGTH_KEY}={lengths[arm.name]}"]))
        for arm in (each.arm for each in arms.ready)
    ]
    adjusted = compose_arms(StudyDesign(arms=tuple(with_lengths)), base)
    equal = f"with an equal budget of {budget} it is as long as its reference, and differs in nothing else"
    refused = [(name, why.replace(NO_CHANGE_REASON, equal)) for name, why in adjusted.refused]
    listing = ", ".join(f"{name} {num}" for name, num in lengths.items())
    note = f"Equal {budget}: every arm trains for as many {budget} as {arms.ready[0].name}, to the nearest epoch"
    return replace(adjusted, refused=(*arms.refused, *refused)), f"{note} ({listing})."
