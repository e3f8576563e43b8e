import argparse
import datetime
import functools
import operator
import os
import pickle
import sys
import types
from collections import defaultdict, deque
from contextlib import suppress
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from sota_exp.models.foreign_checkpoint import DictionaryStandIn, StandIn, find_refused_type
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


WEIGHTS = {"conv.weight": torch.arange(4.0), "conv.bias": torch.tensor(1)}
OTHER = {key: value + 1 for key, value in WEIGHTS.items()}


def under(prefix, state=WEIGHTS):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.pth", WEIGHTS),
        ("torchvision.pth", {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1, out=Path("x")), "epoch": 1}),
        (
            "torchvision_ema.pth",
            {"model": OTHER, "model_ema": under("module.") | {"n_averaged": torch.tensor(3)}, "lr_scheduler": {"a": 1}},
        ),
        (
            "timm.pth.tar",
            {"epoch": 3, "arch": "net", "state_dict": WEIGHTS, "args": argparse.Namespace(), "metric": 9.0},
        ),
        (
            "timm_ema.pth.tar",
            {"state_dict": OTHER, "state_dict_ema": WEIGHTS, "metric": np.float64(71.5), "version": 2},
        ),
        ("numpy.pth", {"state_dict": WEIGHTS, "best": [np.float32(1), np.int64(2), np.bool_(True), np.float16(3)]}),
        ("parallel.pth", under("module.")),
        ("compiled.pt", {"model": under("module._orig_mod.")}),
        ("lightning.ckpt", {"state_dict": under("model."), "hyper_parameters": {"lr": 0.1}, "loops": {}}),
        (
            "template.ckpt",
            {"state_dict": under("net."), "hyper_parameters": OmegaConf.create({"a": [1, {"b": "${a}"}], "c": None})},
        ),
        ("array.pth.tar", {"state_dict": WEIGHTS, "best": np.zeros(3), "mixed": np.array([1, "a"], dtype=object)}),
        ("net.pth", {"net": WEIGHTS, "acc": 1, "epoch": 2}),
        ("averaged_by_basicsr.pth", {"params": OTHER, "params_ema": WEIGHTS}),
        ("unknown_name.pth", {"encoder": WEIGHTS, "epoch": 1}),
        ("nested.pth", {"model": {"state_dict": WEIGHTS}, "optimizer": {"state": {0: WEIGHTS}, "param_groups": []}}),
    ],
)
@pytest.mark.parametrize("is_zip", [True, False], ids=["", "before_1.6"])
def test_checkpoints_of_other_trainers_are_read(tmp_path, name, content, is_zip):
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=is_zip)
    torch.testing.assert_close(read_state(str(tmp_path / name), ""), WEIGHTS)


class Settings(dict):
    """A type of dictionary, as packages for settings have."""


FOREIGN = {
    "defaultdict": defaultdict(list, {1: [2]}),
    "dictionary": Settings(lr=0.1),
    "deque": deque([1, 2]),
    "path": PurePosixPath("x"),
    "time": datetime.datetime.now(datetime.UTC),
    "omegaconf": OmegaConf.create([1, {"a": "${oc.env:HOME}"}]),
    "record": np.zeros(2, dtype=[("a", "f4")]),
    "generator": np.random.default_rng(0),
    "text": np.str_("a"),
    "function": Path.touch,
    "type": int,
    "set": {1, PurePosixPath("x")},
    "partial": functools.partial(print, "x"),
    "schedule": torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.zeros(1)], lr=0.1), 3),
}


@pytest.mark.parametrize("value", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("is_zip", [True, False], ids=["", "before_1.6"])
def test_any_object_beside_weights_is_left_out(tmp_path, value, is_zip):
    torch.save({"model": WEIGHTS, "other": [value]}, tmp_path / "w.pth", _use_new_zipfile_serialization=is_zip)
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), ""), WEIGHTS)


def test_a_stand_in_refuses_items_as_newer_versions_of_pytorch_do():
    with pytest.raises(pickle.UnpicklingError) as error:
        StandIn()["key"] = 1
    assert find_refused_type(str(error.value)) == {"StandIn": DictionaryStandIn}


def test_weights_in_a_dictionary_of_another_type_are_read(tmp_path):
    torch.save(Settings(model=defaultdict(int, WEIGHTS)), tmp_path / "w.pth")
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), ""), WEIGHTS)


def test_names_of_other_versions_are_read(tmp_path, monkeypatch):
    """NumPy before version 2 names its scalars otherwise, and Lightning's hyperparameters are a type of its own."""
    lightning = types.ModuleType("lightning_fabric.utilities.data")
    lightning.AttributeDict = type("AttributeDict", (dict,), {"__module__": lightning.__name__})
    for name in ("lightning_fabric", "lightning_fabric.utilities", lightning.__name__):
        monkeypatch.setitem(sys.modules, name, lightning)
    torch.save({"state_dict": WEIGHTS, "hyper_parameters": lightning.AttributeDict(lr=0.1)}, tmp_path / "w.ckpt")
    torch.testing.assert_close(read_state(str(tmp_path / "w.ckpt"), ""), WEIGHTS)
    old = tmp_path / "old.pth"
    torch.save({"state_dict": WEIGHTS, "best": np.float64(2)}, old, _use_new_zipfile_serialization=False)
    old.write_bytes(old.read_bytes().replace(b"numpy._core", b"numpy.core"))
    torch.testing.assert_close(read_state(str(old), ""), WEIGHTS)


AVERAGED_NAMES = (
    *(
        "model_ema",
        "ema",
        "ema_state_dict",
        "ema_net",
        "model_ema_state_dict",
        "swa_model",
        "model_swa",
        "ema_1",
        "EMA",
    ),
    *("averaged_model", "net-ema", "swa.state_dict", "ema_model", "state_dict_ema", "params_ema", "average"),
)


@pytest.mark.parametrize("name", AVERAGED_NAMES)
def test_averaged_weights_come_first_by_any_usual_name(tmp_path, name, caplog):
    for content in (WEIGHTS, {"shadow": WEIGHTS, "decay": 0.9}):
        for beside in ("model", "state_dict", "net", "model_state_dict", "network"):
            torch.save({beside: OTHER, name: content, "epoch": 3, "ema_decay": 0.99}, tmp_path / "w.pth")
            with caplog.at_level("INFO"):
                torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), ""), WEIGHTS)
            assert f"the weights are its entry {name}, not {beside}" in caplog.text


@pytest.mark.parametrize("name", ["cinema", "emanet", "schema", "swap"])
def test_other_words_are_no_averages(tmp_path, name):
    torch.save({"model": WEIGHTS, name: OTHER}, tmp_path / "w.pth")
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), ""), WEIGHTS)


@pytest.mark.parametrize(
    ("averaged", "plain"),
    [
        ({"state_dict_ema": {"conv.weight": torch.ones(4)}}, {"state_dict": WEIGHTS}),
        ({"ema": under("module.", {"conv.weight": torch.ones(4)})}, {"model": WEIGHTS}),
        ({"ema": {"conv.weight": torch.ones(4)}}, {"network": WEIGHTS}),
        ({"ema": {"conv.weight": torch.ones(4)}}, {"model": {"state_dict": under("module._orig_mod.")}}),
        ({"ema": {"shadow": {"conv.weight": torch.ones(4)}, "decay": 0.9}}, {"net": under("net.")}),
        (
            {"swa_model": under("module.", {"conv.weight": torch.ones(4)}) | {"n_averaged": torch.tensor(3)}},
            {"net": WEIGHTS},
        ),
    ],
)
def test_what_an_average_of_parameters_lacks_is_that_of_the_weights_beside_it(tmp_path, averaged, plain, caplog):
    torch.save({**plain, **averaged}, tmp_path / "w.pth")
    for entry in (None, next(iter(averaged))):
        caplog.clear()
        with caplog.at_level("INFO"):
            found = read_state(str(tmp_path / "w.pth"), "", entry)
        torch.testing.assert_close(found, WEIGHTS | {"conv.weight": torch.ones(4)})
        assert "the averaged weights lack 1 keys, such as" in caplog.text


def test_averaged_weights_of_another_network_are_left_as_they_are(tmp_path):
    other = {"conv.weight": torch.ones(4), "conv.gamma": torch.ones(4)}
    torch.save({"model": WEIGHTS, "model_ema": other}, tmp_path / "w.pth")
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), ""), other)


@pytest.mark.parametrize(
    "averaged",
    [
        {"shadow_params": [torch.ones(4)], "decay": 0.9},
        [torch.ones(4)],
        pytest.param(functools.partial(print), id="object"),
    ],
)
def test_averaged_weights_without_names_are_told(tmp_path, averaged, caplog):
    torch.save({"model": WEIGHTS, "ema": averaged}, tmp_path / "w.pth")
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), ""), WEIGHTS)
    assert "weights without names, which are not read: ema" in caplog.text


def test_another_entry_than_the_averaged_weights(tmp_path):
    torch.save({"model": OTHER, "model_ema": WEIGHTS}, tmp_path / "w.pth")
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), "", "model"), OTHER)
    with pytest.raises(InvalidValue, match="entry=ema is not legal: an entry of .* such as model_ema or model"):
        read_state(str(tmp_path / "w.pth"), "", "ema")


def test_entries_that_nothing_tells_apart_are_named(tmp_path):
    torch.save({"student": OTHER, "teacher": WEIGHTS}, tmp_path / "w.pth")
    with pytest.raises(InvalidValue, match="it has student and teacher: choose one .model.weights.entry=student"):
        read_state(str(tmp_path / "w.pth"), "")
    torch.testing.assert_close(read_state(str(tmp_path / "w.pth"), "", "teacher"), WEIGHTS)
    torch.save({"trainer": {"model": WEIGHTS}}, tmp_path / "nested.pth")
    torch.testing.assert_close(read_state(str(tmp_path / "nested.pth"), "", "trainer"), WEIGHTS)


def test_a_wrapper_of_a_part_is_no_wrapper(tmp_path):
    state = under("model.") | {"head.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "w.pth")
    assert set(read_state(str(tmp_path / "w.pth"), "")) == set(state)
    assert set(read_state(str(tmp_path / "w.pth"), "model.")) == set(WEIGHTS)


@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: {"model": n, "epoch": 1}, lambda n: {"model": {"a": n}}])
def test_an_object_in_place_of_weights_is_named(tmp_path, wrap):
    torch.save(wrap(torch.nn.Linear(2, 2)), tmp_path / "w.pth")
    with pytest.raises(InvalidValue, match="of type torch.nn.modules.linear.Linear instead: save its weights alone"):
        read_state(str(tmp_path / "w.pth"), "")


class Attack:
    """A malicious pickle: it runs code when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", ["touch", "exec", "system", "method"])
@pytest.mark.parametrize("kind", ["pickle", "zip", "before_1.6"])
def test_never_runs_code_of_a_file(tmp_path, function, kind):
    victim, path = tmp_path / "victim", tmp_path / "w.pth"
    attack = {
        "touch": Attack(Path.touch, victim),
        "exec": Attack(exec, f"open({str(victim)!r}, 'w')"),
        "system": Attack(os.system, f"touch {victim}"),
        "method": Attack(operator.methodcaller("touch"), victim),
    }[function]
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"w": WEIGHTS, "other": attack}, protocol=2))
    else:
        torch.save({"w": WEIGHTS, "other": attack}, path, _use_new_zipfile_serialization=kind == "zip")
    with suppress(InvalidValue):
        read_state(str(path), "")
    assert not victim.exists()


def test_a_file_that_is_refused_gets_one_line_without_advice_to_run_its_code(tmp_path):
    torch.save({"w": WEIGHTS, "other": Attack(os.system, "true")}, tmp_path / "w.pth")
    with pytest.raises(InvalidValue, match="whose module posix is blocked.*save its weights alone") as error:
        read_state(str(tmp_path / "w.pth"), "")
    assert "\n" not in str(error.value) and "False" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        ({"epoch": 3}, "state dict$"),
        ([1, 2], "state dict$"),
        ({1: WEIGHTS, 2: OTHER}, "state dict; if it is in 1 or 2"),
        ({"epoch": 3, "trainer": {"model": WEIGHTS}}, "if it is in trainer, say so by model.weights.entry"),
    ],
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
