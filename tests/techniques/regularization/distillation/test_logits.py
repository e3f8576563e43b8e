import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from sota_exp.models import saved as saved_models
from sota_exp.stages.batch import Batch
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.loss.cross_entropy import CrossEntropy
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.distillation.logits import (
    DistilledLoss,
    LogitDistillation,
    distillation_loss,
    renormalize,
)
from sota_exp.techniques.regularization.smoothing.label_smoothing import LabelSmoothing
from tests.experiments import TINY, composed, session_of

STUDENT = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
THREE, FOUR = ["a", "b", "c"], ["color_00", "color_01", "color_02", "color_03"]
DRAWS = RandomStreams(seed=0).random_numbers("regularization/distillation", 0)


def logits_option(**changes):
    fields = {"source": "file", "name": "resnet_xs", "tag": "", "path": "w.safetensors", "store": None, "alpha": 0.3}
    rest = {"temperature": 4.0, "image_size": None, "mean": None, "std": None}
    return LogitDistillation(**{**fields, **rest, **changes})


def batch_of(num_samples=4, num_classes=3, size=32):
    rng = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randn(num_samples, 3, size, size, generator=rng),
        targets=torch.randn(num_samples, num_classes, generator=rng).softmax(1),
        weights=torch.ones(num_samples),
        sources=torch.arange(num_samples),
    )


@pytest.fixture
def saved(tmp_path):
    """A trained teacher of this package, and the option that distills it."""
    torch.manual_seed(3)
    network = SmallNetwork(name="resnet_xs", width_multiplier=1.0)(3)
    network(torch.randn(16, 3, 32, 32))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    return network.eval(), logits_option(path=str(tmp_path / "w.safetensors"))


def test_loss_by_hand():
    student, teacher = [1.0, 2.0, 0.5], [3.0, 0.0, -1.0]

    def softened(logits):
        exps = [math.exp(z / 2) for z in logits]
        return [e / sum(exps) for e in exps]

    p, q = softened(teacher), softened(student)
    divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    exps = [math.exp(z) for z in student]
    hard = -math.log(exps[1] / sum(exps))
    batch = replace(batch_of(1), targets=torch.tensor([[0.0, 1, 0]]), teacher_logits=torch.tensor([teacher]))
    loss = DistilledLoss(loss=CrossEntropy(), alpha=0.3, temperature=2.0)(torch.tensor([student]), batch)
    assert loss.item() == pytest.approx(0.7 * hard + 0.3 * 4 * divergence, rel=1e-5)


def test_agrees_with_batchmean():
    batch, logits = batch_of(), torch.randn(4, 3)
    reference = nn.functional.kl_div((logits / 3).log_softmax(1), (batch.targets / 3).softmax(1), reduction="batchmean")
    torch.testing.assert_close(distillation_loss(logits, batch.targets, 3.0).mean(), 9 * reference)


def test_a_student_that_copies_its_teacher_has_no_divergence_in_any_precision():
    logits = (30 * torch.randn(8, 5)).bfloat16()
    loss = distillation_loss(logits, logits, 4.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.zeros(8))


@pytest.mark.parametrize(("alpha", "part"), [(0.0, "labels"), (1.0, "teacher")])
def test_alpha_weighs_labels_against_the_teacher(alpha, part):
    batch, logits = replace(batch_of(), teacher_logits=torch.randn(4, 3)), torch.randn(4, 3)
    expected = {
        "labels": CrossEntropy()(logits, batch),
        "teacher": distillation_loss(logits, batch.teacher_logits, 4.0),
    }
    loss = logits_option(alpha=alpha).wrap(CrossEntropy())
    torch.testing.assert_close(loss(logits, batch), expected[part])


def test_renormalized_images_are_the_same_pixels():
    pixels = torch.rand(2, 3, 8, 8)
    other = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def normalized(by):
        return (pixels - torch.tensor(by.mean).view(3, 1, 1)) / torch.tensor(by.std).view(3, 1, 1)

    torch.testing.assert_close(renormalize(normalized(STUDENT), STUDENT, other), normalized(other))


def test_the_teacher_sees_the_students_image_in_its_own_normalization(saved):
    network, option = saved
    batch = batch_of()
    same = option.build_teacher(THREE, STUDENT, torch.device("cpu"))(batch, 0.5, DRAWS)
    torch.testing.assert_close(same.teacher_logits, network(batch.images).detach())
    own = replace(option, mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5]).build_teacher(THREE, STUDENT, torch.device("cpu"))
    expected = network(renormalize(batch.images, STUDENT, Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)))
    torch.testing.assert_close(own(batch, 0.5, DRAWS).teacher_logits, expected.detach())


def test_the_teacher_sees_images_at_its_own_size(saved):
    network, option = saved
    batch = batch_of()
    larger = nn.functional.interpolate(batch.images, size=(48, 48), mode="bilinear", antialias=True)
    seen = replace(option, image_size=48).build_teacher(THREE, STUDENT, torch.device("cpu"))(batch, 0.5, DRAWS)
    torch.testing.assert_close(seen.teacher_logits, network(larger).detach())


def test_the_teacher_is_frozen_and_unchanged(saved):
    _, option = saved
    teacher = option.build_teacher(THREE, STUDENT, torch.device("cpu"))
    before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    result = teacher(batch_of(), 0.5, DRAWS)
    assert not result.teacher_logits.requires_grad
    assert not any(p.requires_grad for p in teacher.network.parameters())
    torch.testing.assert_close(teacher.network.state_dict(), before, rtol=0, atol=0)


def test_smoothing_does_not_reach_the_teacher(saved):
    _, option = saved
    teacher = option.build_teacher(THREE, STUDENT, torch.device("cpu"))
    smoothed = LabelSmoothing(label_smoothing=0.2)(batch_of(), 0.5, DRAWS)
    plain = teacher(batch_of(), 0.5, DRAWS).teacher_logits
    assert torch.equal(teacher(smoothed, 0.5, DRAWS).teacher_logits, plain)


def test_content_follows_the_weights(saved, tmp_path):
    network, option = saved
    save_file(network.state_dict(), tmp_path / "copy.safetensors")
    assert replace(option, path=str(tmp_path / "copy.safetensors")).content_hash() == option.content_hash()
    network.fc.bias.data += 1
    save_file(network.state_dict(), tmp_path / "other.safetensors")
    assert replace(option, path=str(tmp_path / "other.safetensors")).content_hash() != option.content_hash()


def test_a_teacher_of_other_classes_is_refused(saved):
    with pytest.raises(InvalidValue, match="which has 10 classes"):
        saved[1].build_teacher([*"abcdefghij"], STUDENT, torch.device("cpu"))


@pytest.fixture
def described(tmp_path):
    """A narrow teacher of four classes with group norm, in the files of a run, and the option with its path only."""
    found = composed(*TINY, "model.arch.width_multiplier=0.5", "regularization/norm=group")
    session, evaluator = session_of(found.experiment)
    network = session.network()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    view = found.experiment.evaluation.resolution.views()[0]
    description = saved_models.build_description(found.values, session.data.classes, evaluator.preprocessing, view)
    (tmp_path / "model.json").write_text(json.dumps(description))
    option = logits_option(path=str(tmp_path / "model.safetensors"), name=None)
    return network.eval(), option, evaluator.preprocessing


def test_a_run_s_teacher_is_built_as_its_run_built_it(described):
    network, option, preprocessing = described
    batch = batch_of(num_classes=4)
    taught = option.build_teacher(FOUR, preprocessing, torch.device("cpu"))(batch, 0.5, DRAWS)
    torch.testing.assert_close(taught.teacher_logits, network(batch.images).detach())
    named = replace(option, name="resnet_xs").build_teacher(FOUR, preprocessing, torch.device("cpu"))(batch, 0.5, DRAWS)
    assert torch.equal(named.teacher_logits, taught.teacher_logits)


@pytest.mark.parametrize(
    ("changes", "classes", "reason"),
    [
        ({"name": "resnet_m"}, FOUR, "name=resnet_m is not legal: null, or resnet_xs"),
        ({}, FOUR[:3], "a teacher with the same classes; only one of the two networks has color_03"),
        ({}, [*FOUR[:3], "cat"], "a teacher with the same classes; only one of the two networks has cat, color_03"),
    ],
)
def test_what_contradicts_the_description_is_refused(described, changes, classes, reason):
    _, option, preprocessing = described
    with pytest.raises(InvalidValue, match=reason):
        replace(option, **changes).build_teacher(classes, preprocessing, torch.device("cpu"))


def test_classes_in_another_order_are_brought_into_the_students(described):
    network, option, preprocessing = described
    batch = batch_of(num_classes=4)
    taught = option.build_teacher([FOUR[2], FOUR[0], FOUR[3], FOUR[1]], preprocessing, torch.device("cpu"))(
        batch, 0.5, DRAWS
    )
    torch.testing.assert_close(taught.teacher_logits, network(batch.images).detach()[:, [2, 0, 3, 1]])


@pytest.mark.parametrize("text", ["no JSON", '{"foo": 1}', "[]"])
def test_another_programs_model_json_is_not_read(saved, text, caplog):
    network, option = saved
    Path(option.path).with_name("model.json").write_text(text)
    batch = batch_of()
    taught = option.build_teacher(THREE, STUDENT, torch.device("cpu"))(batch, 0.5, DRAWS)
    torch.testing.assert_close(taught.teacher_logits, network(batch.images).detach())
    assert "is not a model.json of a run" in caplog.text


def test_content_follows_the_description_too(described):
    _, option, _ = described
    before, file = option.content_hash(), Path(option.path).with_name("model.json")
    description = json.loads(file.read_text())
    for part, value in (("interpolation", "bicubic"), ("mean", [0.5, 0.5, 0.5])):
        other = {**description, "preprocessing": {**description["preprocessing"], part: value}}
        file.write_text(json.dumps(other))
        assert option.content_hash() != before
    file.write_text(json.dumps({**description, "classes": description["classes"][::-1]}))
    assert option.content_hash() != before
    file.write_text(json.dumps(description))
    assert option.content_hash() == before


def test_a_file_alone_needs_a_name(saved):
    with pytest.raises(
        InvalidValue, match="name=null is not legal: the name of .* in .*w.safetensors, which has no model.json"
    ):
        replace(saved[1], name=None).build_teacher(THREE, STUDENT, torch.device("cpu"))


def test_a_published_teacher_brings_its_normalization(monkeypatch):
    build = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: build(name.split(".")[0], num_classes=1000))
    option = logits_option(source="timm", name="tf_efficientnet_lite0", path=None)
    assert option.load_published(STUDENT).preprocessing.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "web"), ("path", None), ("path", "runs:/1"), ("source", "mlflow"), ("alpha", 1.5),
        ("temperature", 0.0), ("image_size", 4), ("mean", [0.5]), ("std", [0.1, 0.1, 0.0]),
    ],
)  # fmt: skip
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        logits_option(**{field: value})


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_an_unknown_published_teacher_gets_suggestions(source):
    with pytest.raises(InvalidValue, match="name=resnet51 .*near"):
        logits_option(source=source, name="resnet51", path=None)
