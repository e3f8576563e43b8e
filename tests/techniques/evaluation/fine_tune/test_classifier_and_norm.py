"""Fine-tuning at the size of evaluation: what it changes and keeps, compared with a plain PyTorch loop."""

import contextlib
import copy
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sota_exp.cli import main
from sota_exp.models.parts import find_last_norm
from sota_exp.stages.evaluation import NoFineTuning, TrainingImages
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.evaluation.fine_tune.classifier_and_norm import (
    ClassifierAndNormTuning,
    train_classifier_and_norm,
)
from sota_exp.techniques.model.arch.small import SmallNetwork
from tests.experiments import TINY

STREAMS = RandomStreams(seed=3)
STAGE = ClassifierAndNormTuning(epochs=2, lr=0.05, batch_size=8)

#: Keys that fine-tuning changes: those of the last norm of the branch and of the classifier.
TUNED = {f"stages.3.0.bn2.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


def images(num: int = 22) -> TrainingImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(num, 3, 24, 24, generator=generator)
    return TrainingImages(
        read=lambda batches: (pixels[positions] for positions in batches),
        shuffle=lambda generator, batch_size: torch.randperm(num, generator=generator),
        labels=torch.randint(4, (num,), generator=generator),
        precision=contextlib.nullcontext,
    )


def network() -> nn.Module:
    torch.manual_seed(0)
    return SmallNetwork(name="resnet_xs", width_multiplier=1.0)(4).eval()


def test_only_the_classifier_and_the_last_norm_change() -> None:
    one, tuned = network(), network()
    assert STAGE(tuned, images(), STREAMS)
    states = one.state_dict(), tuned.state_dict()
    changed = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert changed == {*TUNED, "fc.weight", "fc.bias"}
    assert not any(module.training for module in tuned.modules())
    assert all(parameter.requires_grad for parameter in tuned.parameters())


def test_agrees_with_a_plain_pytorch_loop() -> None:
    ours, theirs, data = network(), network(), images()
    STAGE(ours, data, STREAMS)
    theirs.requires_grad_(False)
    norm, head = theirs.get_submodule("stages.3.0.bn2"), theirs.get_submodule("fc")
    norm.train().requires_grad_(True), head.requires_grad_(True)
    optimizer = torch.optim.SGD([*norm.parameters(), *head.parameters()], lr=0.05, momentum=0.9)
    schedule = CosineAnnealingLR(optimizer, T_max=4)
    for epoch in range(2):
        order = torch.randperm(22, generator=STREAMS.generator("evaluation/fine_tune", epoch))
        for batch in order[:16].split(8):
            optimizer.zero_grad()
            nn.functional.cross_entropy(theirs(*data.read([batch])), data.labels[batch]).backward()
            optimizer.step()
            schedule.step()
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-6), name


def test_is_repeatable_to_the_bit_whatever_the_global_generator() -> None:
    one, other = network(), network()
    STAGE(one, images(), STREAMS)
    torch.manual_seed(99)
    STAGE(other, images(), STREAMS)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_reduces_the_loss() -> None:
    tuned, data = network(), images()
    everything = torch.arange(22)

    @torch.no_grad()
    def loss() -> float:
        return nn.functional.cross_entropy(tuned(*data.read([everything])), data.labels).item()

    before = loss()
    ClassifierAndNormTuning(epochs=20, lr=0.05, batch_size=8)(tuned, data, STREAMS)
    assert loss() < 0.9 * before


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    tuned = network()
    ClassifierAndNormTuning(epochs=1, lr=0.05, batch_size=64)(tuned, images(5), STREAMS)
    assert tuned.get_submodule("stages.3.0.bn2").num_batches_tracked == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet18", "layer4.1.bn2"), ("resnet50", "layer4.2.bn3"), ("vit_tiny_patch16_224", "norm"), ("vgg11", None)],
)
def test_the_norm_before_the_pooling(name: str, expected: str | None) -> None:
    """The last norm of the last branch in a ResNet, the last norm of a transformer, None without norms."""
    with torch.device("meta"):
        model = timm.create_model(name)
    found = {module: label for label, module in model.named_modules()}
    assert find_last_norm(model) is (None if expected is None else model.get_submodule(expected))
    trained = train_classifier_and_norm(model)
    assert len(trained) == (2 if expected is None else 4)
    modes = {label for module, label in found.items() if module.training and list(module.parameters(recurse=False))}
    assert modes == {label for label in (expected, found[model.get_classifier()]) if label is not None} - {""}


def test_the_neutral_option_changes_nothing() -> None:
    left = network()
    before = copy.deepcopy(left.state_dict())
    assert not NoFineTuning()(left, images(), STREAMS)
    assert all(map(torch.equal, before.values(), left.state_dict().values()))


@pytest.mark.parametrize(("field", "value"), [("epochs", 0), ("lr", 0.0), ("batch_size", 1)])
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidValue, match=field):
        ClassifierAndNormTuning(**{"epochs": 1, "lr": 0.1, "batch_size": 8, field: value})  # type: ignore[arg-type]


CONFIGURED = [*TINY, "recipe=baseline", "optimizer.lr=0.05"]
FINE_TUNE = ["evaluation/fine_tune=classifier_and_norm", "evaluation.fine_tune.batch_size=16"]


def done(command: str, place: Path, *arguments: str) -> dict:
    assert main.run_command_line([command, *arguments, f"hydra.run.dir={place}"]) == 0
    return json.loads((place / "result.json").read_text())


def test_a_finished_run_is_tuned_without_training_it_anew(tmp_path: Path) -> None:
    """`evaluate run=DIR` computes bit for bit the weights of `train` with the option, and does not change the run."""
    plain = done("train", tmp_path / "plain", *CONFIGURED)
    trained = load_file(tmp_path / "plain" / "model.safetensors")
    evaluated = done("evaluate", tmp_path / "e", f"run={tmp_path}/plain", *FINE_TUNE)
    whole = done("train", tmp_path / "whole", *CONFIGURED, *FINE_TUNE)
    assert whole["training_fingerprint"] == plain["training_fingerprint"] == evaluated["training_fingerprint"]
    assert whole["fingerprint"] != plain["fingerprint"]
    assert whole["metrics"]["test/loss"] == evaluated["metrics"]["test/loss"] != plain["metrics"]["test/loss"]
    shipped, tuned = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "e"))
    assert all(torch.equal(shipped[name], tuned[name]) for name in shipped)
    assert any(not torch.equal(shipped[name], trained[name]) for name in shipped)
    kept = load_file(tmp_path / "whole" / "checkpoint" / "best.safetensors")
    assert all(torch.equal(kept[name], trained[name]) for name in kept)
    assert all(torch.equal(value, trained[n]) for n, value in load_file(tmp_path / "plain/model.safetensors").items())
    again = done("evaluate", tmp_path / "again", f"weights={tmp_path}/e/model.safetensors")
    assert again["metrics"]["test/loss"] == evaluated["metrics"]["test/loss"]


def test_hidden_labels_stay_hidden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done("train", tmp_path / "run", *CONFIGURED, "supervision=label_propagation", "supervision.labels_only=0.4")
    assert main.run_command_line(["evaluate", f"run={tmp_path}/run", *FINE_TUNE, f"hydra.run.dir={tmp_path}/e"]) == 2
    assert "supervision=label_propagation hides" in capsys.readouterr().err
