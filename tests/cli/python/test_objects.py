"""What is no network, or chosen twice, is told in a line."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import sota_exp
from sota_exp.cli.python.objects import hand_in_objects
from sota_exp.errors import ConfigError
from tests.handed_in import Colours, Tiny

WRONG = {
    "a data set twice": (None, Colours(), ["data=cifar10"], "data=cifar10 chooses one, and the argument data= another"),
    "a network twice": (Tiny(), None, ["model/arch=small"], "model/arch=small chooses one, and the argument model= an"),
    "a class": (Tiny, None, [], "model: Tiny is a class; legal: a torch.nn.Module"),
    "a function": (len, None, [], "model: builtin_function_or_method is no module; legal: a torch.nn.Module"),
    "a name": ("resnet18", None, [], "model/arch=torchvision model.arch.name=NAME chooses one by name"),
    "a compiled network": (torch.compile(Tiny()), None, [], "model: it is compiled; hand in the module itself"),
    "a lazy network": (nn.LazyLinear(2), None, [], "model: LazyLinear has lazy weights; call it once"),
    "no weights": (nn.Flatten(), None, [], "model: Flatten has no weights to train"),
}


@pytest.mark.parametrize(("model", "data", "words", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_handed_in_is_told(model, data, words, message):
    with pytest.raises(ConfigError, match=message):
        hand_in_objects(model, data, words)


@pytest.mark.parametrize(("name", "group"), [("model", "model/arch"), ("data", "data")])
@pytest.mark.parametrize("function", [sota_exp.ablate, sota_exp.plan, sota_exp.sweep])
def test_what_trains_from_files_takes_no_object(function: Callable[..., object], name: str, group: str) -> None:
    message = f"{name}=: .* trains from files.*'--config-dir=DIR', '{group}=NAME' .docs/how-to/own-{name}.md"
    with pytest.raises(ConfigError, match=message):
        function("study=one_slot", **{name: Tiny()})
