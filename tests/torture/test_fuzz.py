"""A share of what `make torture` does with random configurations, and the inputs that it found."""

import copy
import math
from collections import Counter

import pytest

from sota_exp.cli.main import LONGEST_LINE
from sota_exp.config.build import build
from sota_exp.config.experiment import Experiment
from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError
from tests.experiments import TINY, composed
from tests.rows import each_row
from tests.torture import fuzz


def changed(key, value):
    """The configuration of a tiny run with another value, and this value's node."""
    found = composed(*TINY, "supervision=label_propagation").with_values()
    values = copy.deepcopy(found.values)
    *path, name = key.split(".")
    node = values
    for part in path:
        node = node[part]
    node[name] = value
    return found.with_values(**values)


#: Dotted key, value, and words of the line. Each was a traceback, was taken, or was too long for a line.
FOUND = [
    ("loss._option_", [1], "loss=[1]: this version has no such option"),
    ("optimizer.lr", 10**400, "expected a number"),
    ("optimizer.lr", "nan", "optimizer.lr=nan is not legal: a finite number"),
    ("regularization.average.decay", "-inf", "is not legal: a finite number"),
    ("data.image_size", "${seed}", "data.image_size=${seed}: expected an integer"),
    ("optimizer.momentum", "${oc.env:HOME}", "expected a number"),
    ("data.val_fraction", ["${x}"], "expected a number"),
    ("data.label_preserving", [{"a": 1}], "data.label_preserving"),
    ("supervision.labelled_file", "x" * 300, "a text file "),
    ("data.image_size", "x" * 5000, "data.image_size=xxx"),
    ("loss", [0] * 5000, "loss=[0, 0"),
    ("augmentation.crop", {"_option_": "pad", 1: 2}, "no such key"),
    ("data.label_preserving", [["horizontal_flip"]], "expected a list"),
    ("optimizer.lr", "a\nb", r"optimizer.lr=a\nb: expected a number"),
]


@each_row("key, value, words", FOUND)
def test_what_was_found_is_one_line(key, value, words):
    configuration = changed(key, value)
    for check in (check_rules, lambda found: build(Experiment, found.values)):
        with pytest.raises(ConfigError) as error:
            check(configuration)
        assert words in str(error.value)
        fuzz.require_line(str(error.value), key)


#: Words of a command line → the message.
FOUND_BY_THE_COMMAND_LINE = {
    "train -optimizer=64": "-optimizer: no such flag",
    "translate it's": "it's: no command of a shell: No closing quotation",
    "train --config-dir": "argument --config-dir",
    "techniques augmentation loss": "loss: techniques takes no further argument",
    "sync --uri": "--uri: expected one argument; see sota-exp sync --help",
    "dashboard --port x": "--port: x is not legal: a whole number from 1 to 65535",
    "train augmentation/mix=[1]": "augmentation/mix=[1]: the value of a group is the name of an option",
    f"train batch_size=[{'1,' * 3000}1]": "batch_size=[1",
}


@pytest.mark.parametrize("words", FOUND_BY_THE_COMMAND_LINE, ids=lambda words: words[:30])
def test_wrong_usage_is_one_line(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, text = fuzz.call(words.split(" "))
    assert code == 2
    assert FOUND_BY_THE_COMMAND_LINE[words] in text
    assert len(text) < LONGEST_LINE + 20


@pytest.fixture
def few_options(monkeypatch):
    """Bases of a few options, as composing each one takes seconds."""
    words = ("augmentation/mix=mixup", "optimizer=sgd", "regularization/average=ema", "schedule/lr=one_cycle")
    bases = {"": composed(), **{word: composed(word, *fuzz.NEEDED.get(word, [])) for word in words}}
    monkeypatch.setattr(fuzz, "list_bases", lambda: bases)


@pytest.mark.parametrize("part, size", [("typed", 300), ("composed", 8), ("trained", 1)])
def test_each_case_works_or_is_refused_in_one_line(few_options, part, size):
    found, faults = Counter(), []
    for number in range(size):
        try:
            found[fuzz.PARTS[part].check(number)] += 1
        except fuzz.Fault as fault:
            faults.append((number, str(fault)))
    assert faults == []
    assert found.total() == size


def test_a_number_that_is_none_is_a_fault():
    for value in (math.nan, [1.0, math.inf], {"a": {"b": -math.inf}}):
        with pytest.raises(fuzz.Fault):
            fuzz.require_finite(value, "key")
