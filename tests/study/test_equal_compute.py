"""Equal compute: the epochs that cost about as much as the first arm's training, measured once."""

from pathlib import Path

import pytest

from sota_exp.errors import ConfigError
from sota_exp.study.arms import ComposedArm, compose_arms
from sota_exp.study.equal_compute import (
    EpochCost,
    apply_equal_budget,
    cache_epoch_costs,
    compute_equal_epochs,
    measure_epoch_cost,
)
from tests.study.studies import arm
from tests.study.test_arms import base, ladder

EPOCHS = {
    "first": EpochCost(epochs=10, steps=100, flops=1e9, seconds=2.0),
    "small_crops": EpochCost(epochs=10, steps=100, flops=0.62e9, seconds=1.5),
    "teacher": EpochCost(epochs=10, steps=100, flops=1e9, seconds=5.0),
    "long": EpochCost(epochs=60, steps=100, flops=1e9, seconds=2.0),
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("steps", [10, 10, 10, 10]), ("flops", [10, 16, 10, 10]), ("seconds", [10, 13, 4, 10])],
)
def test_epochs_that_cost_what_the_first_costs(kind: str, expected: list[int]) -> None:
    assert list(compute_equal_epochs(EPOCHS, kind).values()) == expected


def test_an_arm_is_measured_once_and_again_never(tmp_path: Path) -> None:
    asked = []

    def measure(each: ComposedArm) -> EpochCost:
        asked.append(each.name)
        return EPOCHS["first"]

    for _ in range(2):
        of = cache_epoch_costs(tmp_path / "budget.json", measure)
        assert of(arm("a")) == of(arm("a")) == EPOCHS["first"]
    assert asked == ["a"]


def test_of_equal_steps_long_training_is_no_arm() -> None:
    of = base()
    arms = compose_arms(ladder(of, "long_training", "ema"), of)
    lengths = {"baseline": 2, "long_training": 3, "ema": 3}

    def measure(each: ComposedArm) -> EpochCost:
        return EpochCost(epochs=lengths[each.name], steps=3, flops=1.0, seconds=1.0)

    found, said = apply_equal_budget(arms, of, "steps", measure)
    assert [each.name for each in found.ready] == ["baseline", "ema"] and found.refused[0][0] == "long_training"
    assert {each.configuration.values["schedule"]["length"]["epochs"] for each in found.ready} == {2}
    assert said.startswith("Equal steps") and "ema 2" in said


def test_a_command_that_fixes_the_epochs_is_refused() -> None:
    of = base("schedule.length.epochs=2")
    arms = compose_arms(ladder(of, "ema"), of)
    with pytest.raises(ConfigError, match="study.budget=flops chooses schedule.length.epochs"):
        apply_equal_budget(arms, of, "flops", lambda each: EPOCHS["first"])


def test_what_an_epoch_takes_is_told_from_a_rehearsal() -> None:
    of = base("augmentation/train_size=native")
    (first, _) = compose_arms(ladder(of, "ema"), of).ready
    found = measure_epoch_cost(first)
    assert found.epochs == 3 and found.steps * 16 <= 60 and found.flops > 0 and found.seconds > 0
