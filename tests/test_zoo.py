import pickle

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from sota_exp import zoo
from sota_exp.model.arch.small import SmallResNet
from sota_exp.stages import InvalidValue


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet_xs", "SmallResNet"), ("resnet18", "ResNet"), ("convnext_atto", "ConvNeXt")]
)
def test_builds_ours_torchvisions_and_timms_by_name(name, kind):
    with torch.device("meta"):
        model = zoo.build(name, 7)
    assert type(model).__name__ == kind
    assert isinstance(model, SmallResNet) == (kind == "SmallResNet")


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(InvalidValue, match="near: .*resnet50"):
        zoo.build("resnt50", 7)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "step": 3}])
def test_reads_pytorch_files_plain_and_nested(tmp_path, wrap):
    state = {"a.weight": torch.arange(4.0), "a.bias": torch.tensor(1)}
    torch.save(wrap(state), tmp_path / "w.pth")
    torch.testing.assert_close(zoo.read_state(str(tmp_path / "w.pth"), ""), state)


def test_reads_safetensors_under_a_prefix(tmp_path):
    save_file({"module.a": torch.ones(2), "other.b": torch.zeros(2)}, tmp_path / "w.safetensors")
    assert list(zoo.read_state(str(tmp_path / "w.safetensors"), "module.")) == ["a"]
    with pytest.raises(InvalidValue, match="prefix=net."):
        zoo.read_state(str(tmp_path / "w.safetensors"), "net.")


class Attack:
    """What a hostile pickle does: it runs code when it is read."""

    def __reduce__(self):
        return (pytest.fail, ("code of a weights file was run",))


def test_never_runs_code_of_a_file(tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"w": Attack()}))
    with pytest.raises(InvalidValue, match="plain tensors"):
        zoo.read_state(str(tmp_path / "evil.pth"), "")
    torch.save({"w": Attack()}, tmp_path / "zip.pth")
    with pytest.raises(InvalidValue, match="plain tensors"):
        zoo.read_state(str(tmp_path / "zip.pth"), "")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "exists"), ({"epoch": 3}, "state dict"), ([1, 2], "state dict")]
)
def test_other_files_are_refused(tmp_path, content, reason):
    if content is not None:
        torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InvalidValue, match=reason):
        zoo.read_state(str(tmp_path / "w.pth"), "")


def test_content_hash_sees_values_and_names_but_not_order_or_place(tmp_path):
    state = {"a": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "b": torch.tensor(2)}
    save_file(state, tmp_path / "w.safetensors")
    same = zoo.content_hash(zoo.read_state(str(tmp_path / "w.safetensors"), ""))
    assert zoo.content_hash(state) == zoo.content_hash(dict(reversed(state.items()))) == same
    assert zoo.content_hash({**state, "b": torch.tensor(3)}) != same
    assert zoo.content_hash({"c": state["a"], "b": state["b"]}) != same
    assert zoo.content_hash({**state, "a": state["a"].reshape(4, 3)}) != same


def test_published_weights_of_torchvision_run_no_code(tmp_path, monkeypatch):
    """Also where the file lies in the hub's cache already, whose hash nobody looks at."""
    weights = torchvision.models.get_model_weights("shufflenet_v2_x0_5").DEFAULT
    (tmp_path / "checkpoints").mkdir()
    torch.save({"w": Attack()}, tmp_path / "checkpoints" / weights.url.rpartition("/")[2])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    zoo.published_torchvision.cache_clear()
    with pytest.raises(pickle.UnpicklingError):
        zoo.published_torchvision("shufflenet_v2_x0_5", "")
