"""Fingerprints are equal for equivalent configurations, and differ where a number changes."""

import pytest
from safetensors.torch import save_file

from sota_exp.config import fingerprint as module
from sota_exp.config.fingerprint import format_differences
from sota_exp.data.open import open_data
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.training.listener import RunRequest
from sota_exp.training.run import compute_fingerprints, hash_input_files
from tests.experiments import OFF, TINY, composed


def prints(*overrides):
    found = composed(*TINY, *OFF, *overrides)
    request = RunRequest(configuration=found, directory=None)
    return compute_fingerprints(request, open_data(found.experiment), hash_input_files(found.experiment))


@pytest.fixture(scope="module")
def plain():
    return prints()


@pytest.mark.parametrize(
    "override",
    [
        "runtime.workers=2", "runtime.threads=1", "runtime.channels_last=false", "tracking=none",
        "scale.name=other", "recipe.name=other", "data.cache=elsewhere", "recipe.long_epochs=7",
        "optimizer.lr=1e-1", "scale.train_images=1000",
    ],
)  # fmt: skip
def test_equivalent_configurations_are_the_same_run(override, plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prints(override) == plain


@pytest.mark.parametrize(
    "override",
    [
        "seed=1", "batch_size=8", "optimizer.lr=0.2", "augmentation/mix=mixup", "schedule.length.epochs=3",
        "regularization/average=ema", "data.num_classes=3", "data.image_size=24", "data.val_fraction=0.2",
        "scale.train_images=32", "scale.eval_images=4", "data.split_seed=1", "model.arch.name=resnet_s",
        "evaluation.resolution.size=24", "evaluation.resolution.crop_ratio=0.8",
    ],
)  # fmt: skip
def test_what_changes_the_weights_is_another_training(override, plain):
    training, run = prints(override)
    assert training != plain[0]
    assert run != plain[1]


def test_precision_is_hashed():
    assert prints("runtime.precision=bf16")[0] != prints("runtime.precision=fp32")[0]


@pytest.mark.parametrize(
    "override",
    [
        "evaluation/tta=flip",
        "evaluation.select=last",
        "evaluation/resolution=search",
        "evaluation/fine_tune=classifier_and_norm",
    ],
)
def test_another_evaluation_is_another_run_of_the_same_training(override, plain):
    training, run = prints(override)
    assert training == plain[0]
    assert run != plain[1]


def test_weights_are_hashed_by_content_not_by_path(tmp_path):
    state = SmallNetwork(name="resnet_xs", width_multiplier=0.25)(4).state_dict()
    changed = {name: value + 1 if name == "fc.bias" else value for name, value in state.items()}
    for name, tensors in (("one", state), ("copy", state), ("other", changed)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    one, copy, other = (
        prints("model/weights=checkpoint", f"model.weights.path={tmp_path}/{name}.safetensors")
        for name in ("one", "copy", "other")
    )
    assert one == copy
    assert one[0] != other[0]


def test_a_change_of_the_numerics_is_another_training(plain, monkeypatch):
    monkeypatch.setattr(module, "NUMERICS_VERSION", module.NUMERICS_VERSION + 1)
    assert prints()[0] != plain[0]


def test_differences_name_every_leaf():
    one, other = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "e": 4}
    assert format_differences(one, other) == ["a.c: 2 → 5", "d: 3 → None", "e: None → 4"]
    assert format_differences(one, one) == []
    assert format_differences({"a": {"b": {"_option_": "x"}}}, {"a": {"b": {"_option_": "y"}}}) == ["a/b: x → y"]
