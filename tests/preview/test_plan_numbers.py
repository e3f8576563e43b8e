"""The numbers of the plan are those of the training, and the parts of the estimate add up."""

import math
from dataclasses import replace

import pytest
import torch

from sota_exp.data.train_loader import count_distinct_images
from sota_exp.models.parts import get_classifier_layer
from sota_exp.preview.plan_numbers import plan_training
from sota_exp.preview.timing import MeasuredCost, estimate_cost, measure_cost
from sota_exp.training.loop import EpochRecord, fit, start_training
from sota_exp.training.run import open_session_of
from tests.experiments import OFF, ON, TINY, composed

CASES = {
    "everything off": [*TINY, *OFF],
    "everything on": [*TINY, *ON],
    "repeated augmentation": [*TINY, "augmentation/repeat=repeated"],
    "search": [*TINY, "evaluation/resolution=search"],
}


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_the_plan_is_what_training_does(overrides):
    session = open_session_of(composed(*overrides).experiment)
    plan = plan_training(session, start_training(session))
    records = list(fit(session, start_training(session)))
    epochs = [record for record in records if isinstance(record, EpochRecord)]
    assert plan.num_epochs == len(epochs) and plan.total_steps == epochs[-1].step == len(records) - len(epochs)
    assert plan.distinct_images == count_distinct_images(session.crops, plan.total_steps)
    assert plan.counts == {split: len(vars(session.data)[split]) for split in ("train", "val", "test")}
    assert plan.left_out == plan.counts["train"] - plan.steps_per_epoch * session.experiment.batch_size >= 0
    assert plan.curve[-1] == epochs[-1].metrics["train/lr"]
    assert plan.curve[0] == session.compute_learning_rate(0) and max(plan.curve) <= session.peak_lr


def test_repeated_augmentation_shows_in_the_distinct_images_of_a_batch():
    def batch_images(*overrides: str) -> int:
        session = open_session_of(composed(*TINY, *overrides).experiment)
        return plan_training(session, start_training(session)).batch_images

    assert batch_images() == 16
    assert batch_images("augmentation/repeat=repeated") < 16


def test_what_learns_at_first_is_the_head_under_head_only_tuning():
    session = open_session_of(composed(*TINY, "model/tuning=head_only").experiment)
    plan = plan_training(session, start_training(session))
    head = sum(parameter.numel() for parameter in get_classifier_layer(start_training(session).model).parameters())
    assert plan.trained_parameters == head < plan.parameters


MEASURED = MeasuredCost(
    num_steps=10, first_step_seconds=1.0, seconds_per_step=0.5, seconds_per_scored_image=0.01, peak_memory_bytes=1
)


def test_the_estimate_is_the_sum_of_its_parts():
    session = open_session_of(composed(*TINY).experiment)
    plan = replace(plan_training(session, start_training(session)), is_averaged=False)
    once = estimate_cost(plan, MEASURED)
    assert once.train == plan.total_steps * 0.5
    assert once.validate == pytest.approx(plan.num_epochs * plan.counts["val"] * 0.01)
    assert once.evaluate == pytest.approx((plan.counts["val"] + plan.counts["test"]) * 0.01)
    assert estimate_cost(replace(plan, is_averaged=True), MEASURED).validate == pytest.approx(2 * once.validate)
    assert once.total == once.train + once.validate + once.evaluate


def test_views_of_other_sizes_cost_by_their_area():
    session = open_session_of(composed(*TINY, "evaluation/resolution=search").experiment)
    plan = plan_training(session, start_training(session))
    areas = sum((view.size / plan.views[0].size) ** 2 for view in plan.views)
    assert len(plan.views) > 1
    expected = (plan.counts["val"] * areas + plan.counts["test"]) * 0.01
    assert estimate_cost(plan, MEASURED).evaluate == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [1, 4])
def test_measuring_takes_real_steps_and_ends_with_the_training_at_the_latest(epochs):
    session = open_session_of(composed(*TINY, f"schedule.length.epochs={epochs}").experiment)
    state = start_training(session)
    measured = measure_cost(session, state, seconds=30)
    assert measured.num_steps == session.total_steps == state.step
    values = (measured.first_step_seconds, measured.seconds_per_step, measured.seconds_per_scored_image)
    assert all(math.isfinite(value) and value > 0 for value in values) and measured.peak_memory_bytes > 2**20


@pytest.mark.parametrize("tuning", ["full", "gradual", "head_only"])
def test_measured_steps_train_what_the_last_epoch_trains(tuning):
    session = open_session_of(composed(*TINY, "schedule.length.epochs=4", f"model/tuning={tuning}").experiment)
    state = start_training(session)
    assert measure_cost(session, state, seconds=0).num_steps == 1
    measured = [parameter.requires_grad for parameter in state.parameters]
    session.experiment.model.tuning(state.model, session.last_progress)
    assert measured == [parameter.requires_grad for parameter in state.parameters]
    assert all(measured) == (tuning != "head_only")


def test_an_average_is_known_as_one():
    for overrides, expected in ((OFF, False), (("regularization/average=ema",), True)):
        session = open_session_of(composed(*TINY, *overrides).experiment)
        assert plan_training(session, start_training(session)).is_averaged is expected
    assert torch.is_grad_enabled()
