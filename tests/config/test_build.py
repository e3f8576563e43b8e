"""From plain values to typed objects: conversions, mistakes, and their messages."""

from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from sota_exp.config.build import build, prefix_invalid_values
from sota_exp.config.configuration import Configuration, require_filled, resolve_configuration
from sota_exp.config.hashing import compute_digest
from sota_exp.config.values import format_suggestion
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import InvalidValue, Stage, require
from tests.experiments import OFF, TINY, composed
from tests.rows import each_row


@dataclass(frozen=True, kw_only=True)
class Knob(Stage):
    """A stage with a field of every supported type."""

    number: float
    count: int
    name: str
    on: bool
    pair: list[float]
    limit: int | None

    def __post_init__(self) -> None:
        require(self.count >= 1, "count", self.count, "at least 1")


VALUES = {
    "_target_": f"{__name__}.Knob",
    "number": 0.5,
    "count": 2,
    "name": "x",
    "on": True,
    "pair": [0.1, 1.0],
    "limit": None,
}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    import sys
    import types

    module = types.ModuleType("knob_of_test")
    module.Knob = Knob
    monkeypatch.setitem(sys.modules, "knob_of_test", module)
    monkeypatch.setitem(VALUES, "_target_", "knob_of_test.Knob")


def knob(**changes):
    return build(Stage, {**VALUES, **changes}, "group.slot")


def test_values_arrive_typed():
    made = knob(number=1, pair=[0, 1], limit=3)
    assert made == Knob(number=1.0, count=2, name="x", on=True, pair=[0.0, 1.0], limit=3)
    assert isinstance(made.number, float) and isinstance(made.pair[0], float)


@each_row(
    "changes, message",
    [
        ({"number": "fast"}, r"group.slot.number=fast: expected a number"),
        ({"number": None}, r"group.slot.number=null: expected a number"),
        ({"number": True}, r"group.slot.number=true: expected a number"),
        ({"count": 2.5}, r"group.slot.count=2.5: expected an integer"),
        ({"count": 0}, r"group.slot.count=0 is not legal: at least 1"),
        ({"on": "perhaps"}, r"group.slot.on=perhaps: expected true or false"),
        ({"pair": 3}, r"group.slot.pair=3: expected a list, each item a number"),
        ({"pair": ["a"]}, r"group.slot.pair=\['a'\]: expected a list, each item a number"),
        ({"limit": "many"}, r"group.slot.limit=many: expected an integer, or null"),
        ({"numbr": 3}, r"group.slot.numbr: no such key; legal: number, count.* Did you mean number\?"),
        ({"name": "???"}, r"group.slot.name: a value is missing; give one: group.slot.name=…"),
        ({"_target_": "knob_of_test.Nob"}, "Nob cannot be imported: knob_of_test has no Nob"),
        (
            {"_target_": "no_such_module.X"},
            r"group.slot._target_=no_such_module.X cannot be imported: .*; install it, or .*PYTHONPATH=DIR",
        ),
        ({"_target_": "os.system"}, r"group.slot._target_=os.system is no Stage, which group/slot needs"),
        ({"_target_": "print"}, r"group.slot._target_=print cannot be imported"),
    ],
)
def test_a_mistake_names_the_key_the_value_and_what_is_legal(changes, message):
    with pytest.raises(ConfigError, match=message):
        knob(**changes)


@pytest.mark.parametrize("name", [name for name in VALUES if name != "_target_"])
def test_every_value_is_needed_defaults_live_in_yaml_only(name):
    with pytest.raises(ConfigError, match=f"group.slot.{name}: a value is missing"):
        build(Stage, {key: value for key, value in VALUES.items() if key != name}, "group.slot")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (None, "group/slot: no option is chosen; choose one, such as group/slot=none"),
        ("cutmix", "group.slot=cutmix sets a value; an option is chosen with slashes: group/slot=cutmix"),
        ({}, "group.slot: no _target_; choose an option with group/slot=…"),
    ],
)
def test_a_slot_holds_an_option(tree, message):
    with pytest.raises(ConfigError, match=message):
        build(Stage, tree, "group.slot")


def test_what_is_built_is_frozen():
    with pytest.raises(AttributeError):
        composed(*TINY, *OFF).experiment.seed = 3


def test_interpolations_are_resolved_and_what_is_no_run_s_is_left_out():
    config = OmegaConf.create({"a": {"b": "${seed}"}, "seed": 3, "search": {"x": 1}, "study": {"y": 2}})
    assert resolve_configuration(config, {}).values == {"a": {"b": 3}, "seed": 3}


def test_an_interpolation_to_nothing_names_its_key():
    with pytest.raises(ConfigError, match="^a.b: .*nothing"):
        resolve_configuration(OmegaConf.create({"a": {"b": "${nothing}"}}), {})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": {"b": "cutmix"}}, "a.b=cutmix sets a value"),
        ({"a": {}}, "a/b: no option is chosen"),
        ({"a": {"b": {"c": "???"}}}, "a.b.c: a value is missing"),
    ],
)
def test_what_is_seen_before_any_stage_is_imported(tree, message):
    with pytest.raises(ConfigError, match=message):
        require_filled(Configuration(choices={"a/b": "x"}, values=tree))


def test_keyed_puts_the_slot_before_the_field():
    with (
        pytest.raises(ConfigError, match=r"^model.weights.path=x is not legal: a file$"),
        prefix_invalid_values("model.weights"),
    ):
        raise InvalidValue("path", "x", "a file")


def test_a_near_word_is_suggested_and_a_far_one_is_not():
    assert format_suggestion("mixpu", ["mixup", "cutmix"]) == " Did you mean mixup?"
    assert format_suggestion("zebra", ["mixup", "cutmix"]) == ""


def test_a_digest_knows_content_not_order():
    assert compute_digest({"a": 1, "b": [1, 2]}) == compute_digest({"b": [1, 2], "a": 1})
    assert compute_digest({"a": 1}) != compute_digest({"a": 2})
    assert len(compute_digest("x", length=8)) == 8
