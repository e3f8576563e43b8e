"""The neutral options change nothing and draw no random number."""

import pytest
import torch
from torch import nn

from sota_exp.stages.augmentation import NativeSize, Shuffle
from sota_exp.stages.average import NoAverage
from sota_exp.stages.batch import Batch, KeepBatch
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.evaluation import OneView
from sota_exp.stages.loss import NoTeacher
from sota_exp.stages.model import FromScratch, KeepModel, TuneAll
from sota_exp.stages.optimizer import KeepGradients, NoAccumulation, NoDecay
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.schedule import KeepLr, NeverStop, NoWarmup
from sota_exp.stages.stage import InvalidValue, require
from sota_exp.stages.supervision import TrueLabels
from sota_exp.techniques.loss.cross_entropy import CrossEntropy


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.fixture
def batch() -> Batch:
    targets = nn.functional.one_hot(torch.arange(6) % 2, 2).float()
    return Batch(images=torch.rand(6, 3, 8, 8), targets=targets, weights=torch.ones(6), sources=torch.arange(6))


def test_the_batch_is_returned_as_it_is(batch):
    draws = RandomStreams(seed=0).random_numbers("slot", 0)
    before = draws.generator.get_state()
    assert KeepBatch()(batch, 0.5, draws) is batch
    assert torch.equal(draws.generator.get_state(), before)


def test_the_network_is_returned_as_it_is(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert KeepModel()(model) is model
    assert FromScratch()(model, None) is model
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_random_weights_keep_the_normalization_of_the_data_set():
    own = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert FromScratch().preprocessing(None, own) is own
    assert FromScratch().content_hash(None) == ""


def test_gradients_are_unchanged(model, batch):
    model(batch.images).sum().backward()
    before = [parameter.grad.clone() for parameter in model.parameters()]
    assert KeepGradients()(list(model.parameters())) == {}
    assert all(torch.equal(parameter.grad, kept) for parameter, kept in zip(model.parameters(), before, strict=True))


def test_the_batch_is_one_micro_batch(batch):
    (only,) = NoAccumulation()(batch)
    assert only is batch


def test_each_epoch_is_another_permutation():
    orders = [Shuffle()(50, epoch, RandomStreams(seed=0)) for epoch in range(2)]
    assert all(torch.equal(order.sort().values, torch.arange(50)) for order in orders)
    assert not torch.equal(*orders)


def test_no_teacher(batch):
    loss, off = CrossEntropy(), NoTeacher()
    teacher = off.build_teacher(["a", "b"], Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3), torch.device("cpu"))
    assert off.wrap(loss) is loss
    assert isinstance(teacher, KeepBatch)
    assert off.content_hash() == ""


def test_without_an_average_the_module_is_the_trained_network(model):
    average = NoAverage()(model, 100, 0.1)
    average.update(0.5)
    average.finish(iter(()))
    assert average.module is model
    assert average.state_dict() == {}


@pytest.mark.parametrize("size", [32, 224])
def test_native_size_is_the_size_of_evaluation(size):
    assert NativeSize()(size) == size


@pytest.mark.parametrize("batch_size", [1, 128, 4096])
def test_the_learning_rate_is_not_scaled(batch_size):
    assert KeepLr()(batch_size) == 1


def test_no_warmup_and_no_early_stop():
    assert NoWarmup().fraction == 0
    assert not any(NeverStop()([0.5] * count) for count in range(50))


def test_no_decay_for_any_parameter(model):
    (group,) = NoDecay()(model, 0.5)
    assert group["weight_decay"] == 0
    assert list(map(id, group["params"])) == list(map(id, model.parameters()))


def test_every_parameter_is_trained_at_the_full_learning_rate(model):
    (group,) = TuneAll().groups(model, [{"params": list(model.parameters())}])
    TuneAll()(model.eval(), 0.0)
    assert group["lr_scale"] == 1
    assert all(module.training for module in model.modules())


def test_one_view(model, batch):
    model.eval()
    assert torch.equal(OneView()(model, batch.images), model(batch.images))


def test_all_true_labels_have_equal_weight():
    labels = torch.tensor([1, 0, 2])
    supervised = TrueLabels()(labels, 3, 0, lambda: pytest.fail("features were computed"), RandomStreams(seed=0))
    assert torch.equal(supervised.labels, labels)
    assert torch.equal(supervised.weights, torch.ones(3))


def test_rows_slices_every_field(batch):
    part = batch.rows(2, 5)
    assert torch.equal(part.images, batch.images[2:5])
    assert torch.equal(part.targets, batch.targets[2:5])
    assert torch.equal(part.sources, torch.tensor([2, 3, 4]))
    assert len(part) == len(part.weights) == 3
    assert len(part.teacher_logits) == 0


def test_the_message_about_an_illegal_value_contains_what_is_legal():
    with pytest.raises(InvalidValue, match=r"alpha=-1 is not legal: a number above 0"):
        require(False, "alpha", -1, "a number above 0")
