"""Equal compute instead of equal epochs: each arm trains for about as many steps, FLOPs or seconds as the first arm.

An epoch of each arm is measured once and kept in `budget.json`, so that a repeated command plans the same runs.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sota_exp.config.values import get_override_key
from sota_exp.errors import ConfigError
from sota_exp.study.arms import (
    NO_CHANGE_REASON,
    ComposedArm,
    ComposedArms,
    ComposeFunction,
    StudyConfiguration,
    compose_arms,
)
from sota_exp.study.cost_estimate import SECONDS_PER_ARM
from sota_exp.study.plan import StudyDesign
from sota_exp.study.study_json_arms import STEP_TO_FORWARD_FLOPS
from sota_exp.study.technique import merge_overrides

#: The overrides that set the length of an arm.
LENGTH_KEY, STANDARD_LENGTH = "schedule.length.epochs", "schedule/length=standard"


@dataclass(frozen=True, kw_only=True)
class EpochCost:
    """The cost of one epoch of an arm, FLOPs without those of a teacher. epochs: how many it trains on its own."""

    epochs: int
    steps: int
    flops: float
    seconds: float

    def of(self, budget: str) -> float:
        return {"steps": float(self.steps), "flops": self.flops, "seconds": self.seconds}[budget]


def measure_epoch_cost(arm: ComposedArm) -> EpochCost:
    """The cost of an epoch, from a few training steps of the arm.

    Raises:
        ConfigError: the configuration does not fit the data.
        RunFailed: out of memory or disk, or unreadable files.
    """
    from sota_exp.models.cost import count_flops
    from sota_exp.preview.timing import measure_cost
    from sota_exp.training.failures import convert_errors
    from sota_exp.training.loop import start_training
    from sota_exp.training.run import open_session_of

    session, evaluator = open_session_of(arm.configuration.experiment)
    with convert_errors():
        state = start_training(session)
        flops = count_flops(state.model, session.crops.size)
        found = measure_cost(session, state, evaluator, SECONDS_PER_ARM)
    steps = session.steps_per_epoch
    images = steps * session.experiment.batch_size
    return EpochCost(
        epochs=session.experiment.schedule.length.epochs,
        steps=steps,
        flops=float(STEP_TO_FORWARD_FLOPS * flops * images),
        seconds=steps * found.seconds_per_step,
    )


def cache_epoch_costs(path: Path, measure: Callable[[ComposedArm], EpochCost]) -> Callable[[ComposedArm], EpochCost]:
    """`measure` with a cache in the file `path`, `budget.json`: each training is measured once."""
    known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}

    def load_or_measure(arm: ComposedArm) -> EpochCost:
        if arm.training not in known:
            known[arm.training] = asdict(measure(arm))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known, indent=2) + "\n")
        found = known[arm.training]
        return EpochCost(
            epochs=int(found["epochs"]), steps=int(found["steps"]), flops=found["flops"], seconds=found["seconds"]
        )

    return load_or_measure


def compute_equal_epochs(epochs: Mapping[str, EpochCost], budget: str) -> dict[str, int]:
    """Arm → the number of epochs, at least one, that costs about as much as the whole training of the first arm."""
    first = next(iter(epochs.values()))
    total = first.epochs * first.of(budget)
    return {name: max(1, round(total / epoch.of(budget))) for name, epoch in epochs.items()}


def apply_equal_budget(
    arms: ComposedArms,
    blueprint: StudyDesign,
    base: StudyConfiguration,
    compose: ComposeFunction,
    budget: str,
    measure: Callable[[ComposedArm], EpochCost],
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
        for arm in blueprint.arms
        if arm.name in lengths
    ]
    with_budget = replace(blueprint, arms=tuple(with_lengths), refused=arms.refused)
    listing = ", ".join(f"{name} {num}" for name, num in lengths.items())
    adjusted = compose_arms(with_budget, base, compose)
    before = {name for name, _ in arms.refused}
    equal = f"with an equal budget of {budget} it is as long as its reference, and differs in nothing else"
    refused = [
        (name, why if name in before else why.replace(NO_CHANGE_REASON, equal)) for name, why in adjusted.refused
    ]
    return (
        replace(adjusted, refused=tuple(refused)),
        f"Equal {budget}: every arm trains for as many {budget} as {arms.ready[0].name}, to the nearest epoch "
        f"({listing}).",
    )
