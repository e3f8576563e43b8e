"""The loop: its records, the learning rate, and that losses depend on the configuration only."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from sota_exp.data.train_loader import load_crops
from sota_exp.stages.optimizer import GradientTransform
from sota_exp.training.loop import EpochRecord, StepRecord, fit, start_training, train_step
from tests.experiments import OFF, ON, TINY, composed, session_of, through_a_file, trace_of
from tests.techniques.schedule.accumulation.test_micro_batches import make_batch


def test_the_same_configuration_twice_gives_the_same_bits_and_another_seed_others():
    first, second = (trace_of(composed(*TINY, *ON).experiment) for _ in range(2))
    other = trace_of(composed(*TINY, *ON, "seed=1").experiment)
    assert first.prints == second.prints
    assert first.prints["weights"] != other.prints["weights"]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_data_workers_change_no_bit(num_workers):
    alone = trace_of(composed(*TINY, *ON).experiment)
    assert trace_of(composed(*TINY, *ON, f"runtime.workers={num_workers}").experiment).prints == alone.prints


def test_the_scale_of_an_fp16_loss_is_in_the_checkpoint():
    experiment = composed(*TINY, "runtime.precision=fp16").experiment
    assert trace_of(experiment, interrupt_at=3).prints == trace_of(experiment).prints
    session, _ = session_of(experiment)
    one, other = start_training(session), start_training(session)
    next(fit(session, one))
    one.scaler.update(2.0)
    other.load_state_dict(one.state_dict())
    assert other.scaler.state_dict() == one.scaler.state_dict() and other.scaler.get_scale() == 2


@pytest.mark.parametrize("clip", ["norm", "adaptive", "value"])
def test_a_step_that_the_scaler_skips_is_no_divergence(clip):
    """The scale of an fp16 loss grows until gradients overflow; the norm of these was infinite, and so the epoch's."""
    experiment = composed(*TINY, "runtime.precision=fp16", f"regularization/clip={clip}").experiment
    session, _ = session_of(experiment)
    state = start_training(session)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    state.scaler.scale(torch.ones(()))  # which makes the scale a tensor
    state.scaler.update(2.0**60)
    records = fit(session, state)
    next(records)
    assert all(map(torch.equal, before, state.model.parameters())), "the first step is skipped"
    record = next(each for each in records if isinstance(each, EpochRecord))
    assert all(math.isfinite(float(value)) for value in record.metrics.values()), record.metrics


@pytest.mark.parametrize("interrupt_at", [1, 2, 3, 4, 5])
def test_a_checkpoint_after_any_step_is_followed_by_the_same_bits(interrupt_at):
    """With a recipe that has every kind of state."""
    experiment = composed(*TINY, *ON, "optimizer.lr=0.05").experiment
    assert trace_of(experiment, interrupt_at=interrupt_at).prints == trace_of(experiment).prints


def test_fit_yields_every_step_and_then_its_epoch():
    session, _ = session_of(composed(*TINY, *OFF).experiment)
    records = list(fit(session, start_training(session)))
    kinds = [type(record) for record in records]
    assert kinds == [StepRecord, StepRecord, StepRecord, EpochRecord] * 2
    assert [record.step for record in records] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert [record.epoch for record in records] == [0] * 4 + [1] * 4
    assert set(records[3].metrics) == {"train/loss", "train/lr"}


def test_ceasing_to_iterate_stops_training():
    session, _ = session_of(composed(*TINY, *OFF).experiment)
    state = start_training(session)
    records = fit(session, state)
    next(records), next(records)
    records.close()
    assert state.step == 2


def test_an_interrupted_epoch_counts_the_seconds_before_and_after():
    session, _ = session_of(composed(*TINY, *OFF).experiment)
    state = start_training(session)
    next(fit(session, state))
    assert state.seconds > 0
    state.seconds += 1000
    saved = through_a_file(state.state_dict())
    resumed = start_training(session)
    resumed.load_state_dict(saved)
    first, second = (record.seconds for record in fit(session, resumed) if isinstance(record, EpochRecord))
    assert first > 1000 > second > 0 == resumed.seconds


def test_one_step_is_that_of_plain_pytorch():
    """With every slot off: cross-entropy of the whole batch, one step of SGD."""
    session, _ = session_of(composed(*TINY, *OFF, "optimizer.momentum=0", "optimizer.lr=0.1").experiment)
    state, reference = start_training(session), start_training(session).model
    crops, positions = next(load_crops(session.crops, range(1), 0, False))
    supervised = session.experiment.supervision(session.data.labels[session.data.train], 4, 0, list, session.streams)
    batch = session.batch(crops, positions, supervised, 0)
    session.experiment.model.tuning(state.model, 0.0)
    train_step(session, state, batch)
    images = session.pipeline(batch, 0, 0.0).images.contiguous(memory_format=torch.channels_last)
    loss = F.cross_entropy(reference.train()(images), session.data.labels[session.data.train][positions])
    loss.backward()
    for (name, trained), plain in zip(state.model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(
            trained.detach(), (plain - 0.1 * plain.grad).detach(), rtol=1e-5, atol=1e-6, msg=name
        )
    assert state.totals["train/loss"].item() == pytest.approx(loss.item(), rel=1e-6)


def test_the_learning_rate_warms_up_and_then_follows_the_schedule_over_what_remains():
    overrides = ("schedule/warmup=linear", "schedule.warmup.fraction=0.25", "schedule.warmup.start_factor=0.1")
    overrides += ("schedule/lr=cosine", "schedule.length.epochs=8", "optimizer.lr=2.0")
    session, _ = session_of(composed(*TINY, *OFF, *overrides).experiment)
    rates = [session.compute_learning_rate(step) for step in range(session.total_steps)]
    assert len(rates) == 24
    assert rates[0] == pytest.approx(0.2)
    assert rates[3] == pytest.approx(2 * (0.1 + 0.9 * 0.5))
    assert rates[6] == pytest.approx(2.0)
    assert rates[15] == pytest.approx(1.0)
    assert rates[:7] == sorted(rates[:7])
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_each_group_learns_at_its_scale_of_the_rate():
    gradual = ("model/tuning=gradual", "model.tuning.head_lr_scale=10", "schedule/lr=cosine", "optimizer.lr=0.01")
    session, _ = session_of(composed(*TINY, *OFF, *gradual).experiment)
    state = start_training(session)
    for step, _ in zip(range(1, 4), fit(session, state), strict=False):
        rate = session.compute_learning_rate(step - 1)
        assert {group["lr"] / rate for group in state.optimizer.param_groups} == {1.0, 10.0}


def test_micro_batches_without_norm_are_the_whole_batch():
    """Sums of gradients over micro-batches; only rounding differs. 16 images in parts of at most 6: 5, 5 and 6."""
    one = ("regularization/norm=none", "optimizer.lr=0.01")
    whole = trace_of(composed(*TINY, *OFF, *one).experiment)
    cut = composed(*TINY, *OFF, *one, "schedule/accumulation=micro_batches", "schedule.accumulation.micro_batch_size=6")
    parts = trace_of(cut.experiment)
    sizes = torch.tensor([5, 5, 6]) / 16
    assert (torch.tensor(parts.losses).view(6, 3) * sizes).sum(1).tolist() == pytest.approx(whole.losses, rel=1e-4)


def test_sample_weights_weigh():
    """A weight of zero removes a sample from the gradient, a weight of two counts it twice."""
    session, _ = session_of(composed(*TINY, *OFF, "regularization/norm=none").experiment)
    crops, positions = next(load_crops(session.crops, range(1), 0, False))
    labels = session.data.labels[session.data.train]
    supervised = session.experiment.supervision(labels, 4, 0, list, session.streams)
    weights = torch.zeros(len(labels))
    weights[positions[:8]] = 2.0
    gradients = []
    for learned, rows in ((dataclasses.replace(supervised, weights=weights), 16), (supervised, 8)):
        state = start_training(session)
        batch = session.batch(crops[:rows], positions[:rows], learned, 0)
        session.experiment.model.tuning(state.model, 0.0)
        train_step(session, state, batch)
        gradients.append(torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_accumulation_clips_and_averages_once_an_optimizer_step():
    """Once per step, not per micro-batch: the gradient of the whole batch is clipped."""
    parts = ("schedule/accumulation=micro_batches", "schedule.accumulation.micro_batch_size=4")
    made = composed(*TINY, *OFF, *parts, "regularization/average=ema", "regularization.average.every=1")
    session, _ = session_of(made.experiment)
    norms = []

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Counting(GradientTransform):
        def __call__(self, parameters):
            norms.append(torch.nn.utils.get_total_norm([p.grad for p in parameters]).item())
            return {}

    regularization = dataclasses.replace(session.experiment.regularization, clip=Counting())
    session = dataclasses.replace(
        session, experiment=dataclasses.replace(session.experiment, regularization=regularization)
    )
    state = start_training(session)
    for _ in fit(session, state):
        pass
    assert len(norms) == state.average.step == session.total_steps == 6
    whole, _ = session_of(composed(*TINY, *OFF).experiment)
    assert len(list(whole.experiment.schedule.accumulation(make_batch(16)))) == 1
    assert len(list(session.experiment.schedule.accumulation(make_batch(16)))) == 4
