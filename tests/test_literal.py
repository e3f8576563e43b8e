"""The literal command `sota-exp train scale=smoke slot=option`, for every option: it builds and may train, or says why not."""

import pytest

from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError
from tests.experiments import composed
from tests.options import options
from tests.test_pairs import GROUPS

#: What can't work alone on the default recipe, and the beginning of what the command says.
REFUSED = {
    "augmentation/train_size=fixres": "augmentation/train_size=fixres compensates for objects that random resized crops enlarge",
    "model/arch=python": "model.arch.digest= is not legal: that of an object which Python hands in: sota_exp.train(",
    "model/weights=checkpoint": "model.weights.path: a value is missing; give one: model.weights.path=…",
    "model/weights=pretrained": "model/weights=pretrained: no pretrained weights exist for model/arch=small",
    "regularization/distillation=logits": "regularization/distillation=logits compares teacher and student class by class",
    "schedule/lr=one_cycle": "schedule/lr=one_cycle has its own warm-up",
}

ALONE = [option for option in options() if option.slot.split("/")[0] in GROUPS]


@pytest.mark.slow
def test_every_option_alone_builds_or_says_why_not() -> None:
    said = {}
    for option in ALONE:
        made = composed("scale=smoke", f"{option.slot}={option.name}")
        try:
            check_rules(made)
            assert made.experiment.scale.name == "smoke"
        except ConfigError as error:
            said[str(option)] = str(error)
    assert said.keys() == REFUSED.keys(), said
    assert [option for option, words in said.items() if not words.startswith(REFUSED[option])] == []
