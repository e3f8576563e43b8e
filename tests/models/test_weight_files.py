import pickle

import pytest
import torch
from safetensors.torch import save_file

from sota_exp.models.weight_files import hash_tensors, read_state
from sota_exp.stages.stage import InvalidValue


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "step": 3}])
def test_reads_pytorch_files_plain_and_nested(tmp_path, wrap):
    state = {"a.weight": torch.arange(4.0), "a.bias": torch.tensor(1)}
    torch.save(wrap(state), tmp_path / "w.pth")
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), ""), state)


def test_reads_safetensors_under_a_prefix(tmp_path):
    save_file({"module.a": torch.ones(2), "other.b": torch.zeros(2)}, tmp_path / "w.safetensors")
    assert list(read_state(str(tmp_path / "w.safetensors"), "module.")) == ["a"]
    with pytest.raises(InvalidValue, match="prefix=net."):
        read_state(str(tmp_path / "w.safetensors"), "net.")


class Attack:
    """A malicious pickle: it runs code when it is loaded."""

    def __reduce__(self):
        return (pytest.fail, ("code of a weights file was run",))


def test_never_runs_code_of_a_file(tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"w": Attack()}))
    with pytest.raises(InvalidValue, match="plain tensors"):
        read_state(str(tmp_path / "evil.pth"), "")
    torch.save({"w": Attack()}, tmp_path / "zip.pth")
    with pytest.raises(InvalidValue, match="plain tensors"):
        read_state(str(tmp_path / "zip.pth"), "")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "exists"), ({"epoch": 3}, "state dict"), ([1, 2], "state dict")]
)
def test_other_files_are_refused(tmp_path, content, reason):
    if content is not None:
        torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InvalidValue, match=reason):
        read_state(str(tmp_path / "w.pth"), "")


def test_content_hash_depends_on_values_and_names_but_not_on_order_or_device(tmp_path):
    state = {"a": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "b": torch.tensor(2)}
    save_file(state, tmp_path / "w.safetensors")
    same = hash_tensors(read_state(str(tmp_path / "w.safetensors"), ""))
    assert hash_tensors(state) == hash_tensors(dict(reversed(state.items()))) == same
    assert hash_tensors({**state, "b": torch.tensor(3)}) != same
    assert hash_tensors({"c": state["a"], "b": state["b"]}) != same
    assert hash_tensors({**state, "a": state["a"].reshape(4, 3)}) != same
