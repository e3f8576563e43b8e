"""The space: what is declared, drawn, turned into overrides, and reached by given values."""

import itertools

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import IntDistribution

from sota_exp.config.hydra_compose import normalize_override
from sota_exp.errors import ConfigError
from sota_exp.sweep.knobs import _to_plain, read_text
from sota_exp.sweep.space import read_space
from tests.rows import each_row

LOG_LR = "tag(log, interval(0.01, 1))"


def drawn(space, chosen=None, fixed=None):
    """One trial's knobs, with Optuna's parameters fixed to `fixed`."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    if fixed:
        study.enqueue_trial(fixed)
    trial = study.ask()
    return space.draw_values(trial, chosen or {}), trial.params


def test_a_coordinate_is_searched_and_its_knob_is_run():
    knobs = {"optimizer.lr": LOG_LR, "lr_wd": "tag(log, interval(1e-6, 1e-3))"}
    space = read_space(knobs, {}, {"optimizer.weight_decay": "lr_wd / optimizer.lr"}, [])
    knobs, params = drawn(space, fixed={"optimizer.lr": 0.5, "lr_wd": 1e-4})
    assert knobs == {"optimizer.lr": 0.5, "optimizer.weight_decay": pytest.approx(2e-4)}
    assert set(params) == {"optimizer.lr", "lr_wd"}
    assert space.point({"optimizer.lr": 0.5, "optimizer.weight_decay": 2e-4}, {}) == {
        "optimizer.lr": 0.5,
        "lr_wd": 1e-4,
    }
    assert not any(item.startswith("lr_wd") for item in space.overrides(knobs))


@pytest.mark.parametrize(
    "mix, knobs", [("none", {"mix"}), ("mixup", {"mix", "mix.alpha"}), ("cutmix", {"mix", "mix.alpha", "mix.box"})]
)
def test_a_knob_is_drawn_with_its_option_alone(mix, knobs):
    conditional = {"mix=mixup|cutmix": {"mix.alpha": "interval(0.1, 0.9)"}, "mix=cutmix": {"mix.box": "range(1, 5)"}}
    space = read_space({"mix": "choice(none, mixup, cutmix)"}, conditional, {}, [])
    assert set(drawn(space, fixed={"mix": mix})[0]) == knobs


def test_a_knob_follows_the_option_of_the_recipe_too():
    space = read_space({"lr": LOG_LR}, {"mix=mixup": {"mix.alpha": "interval(0.1, 0.9)"}}, {}, [])
    assert "mix.alpha" in drawn(space, chosen={"mix": "mixup"})[0]
    assert "mix.alpha" not in drawn(space, chosen={"mix": "none"})[0]


def test_one_knob_with_two_ranges_is_kept_as_two():
    conditional = {"mix=mixup": {"mix.alpha": "interval(0.1, 0.5)"}, "mix=cutmix": {"mix.alpha": "interval(0.5, 2)"}}
    space = read_space({"mix": "choice(mixup, cutmix)"}, conditional, {}, [])
    assert drawn(space, fixed={"mix": "cutmix"})[1].keys() == {"mix", "mix.alpha (cutmix)"}


@pytest.mark.parametrize(
    "arguments, knobs, fixed",
    [
        (["+search=x", "seed=1"], {"lr"}, {"seed": "1"}),
        (["lr=interval(1, 2)"], {"lr"}, {}),
        (["lr=0.5", "wd=interval(0, 1)"], {"wd"}, {"lr": "0.5"}),
        (["mix=choice(none,mixup)", "~x"], {"lr", "mix"}, {}),
    ],
)
def test_the_command_line_has_the_last_word(arguments, knobs, fixed):
    space = read_space({"lr": LOG_LR}, {}, {}, arguments)
    assert (set(space.knobs), space.fixed_overrides) == (knobs, fixed)
    assert all(item in space.overrides({}) for item in ["~x"] if item in arguments)


@pytest.mark.parametrize(
    "params, conditional, derived, arguments, says",
    [
        ({}, {}, {}, [], "nothing to search"),
        ({"lr": LOG_LR}, {"mix": {"a": "interval(0, 1)"}}, {}, [], "slot=option"),
        ({"lr": LOG_LR}, {"mix=a": {"a": "0.5"}}, {}, [], "is not a range"),
        ({"lr": LOG_LR}, {}, {"wd": "lr * wd"}, [], "coordinate / knob"),
        ({"lr": LOG_LR}, {}, {"wd": "lr_wd / lr"}, [], "needs lr_wd"),
        ({"lr": LOG_LR, "c": LOG_LR}, {}, {"wd": "c / lr"}, ["c=1"], "cannot be fixed"),
        ({"lr": "range(1, 2, 0)"}, {}, {}, [], "nonzero"),
    ],
)
def test_a_declaration_that_means_nothing_says_so(params, conditional, derived, arguments, says):
    with pytest.raises(ConfigError, match=says):
        read_space(params, conditional, derived, arguments)


def test_values_out_of_reach_are_left_out_of_a_point():
    space = read_space({"lr": LOG_LR, "mix": "choice(none, mixup)", "size": "range(1, 9)"}, {}, {}, [])
    assert space.point({"lr": 5.0, "size": 4}, {"mix": "none"}) == {"mix": "none", "size": 4}
    assert space.point({"lr": 0.5, "size": 40}, {"mix": "cutmix"}) == {"lr": 0.5}


@each_row(
    "value, text",
    itertools.product(
        [0.05, 0, -1, 2.5, 9, "auto", None, float("inf")],
        ["range(1, 5)", "tag(log, range(1, 5))", "tag(log, interval(3, 4))"],
    ),
)
def test_a_start_value_that_the_range_has_not_is_left_out_and_never_another(text, value):
    space = read_space({"size": text}, {}, {}, [])
    assert space.point({"size": value}, {}) == {}
    assert space.point({"size": 3.0}, {}) == {"size": 3}


def test_the_declaration_tells_spaces_apart_and_leaves_out_what_changes_no_number():
    one = read_space({"lr": LOG_LR}, {}, {}, ["data=fake", "tracking=none", "runtime.threads=1"]).describe({})
    same = read_space({"lr": LOG_LR}, {}, {}, ["data=fake", "tracking.uri=x"]).describe({})
    assert one == same == {"lr": "0.01 to 1, by its logarithm", "data": "fake"}
    assert read_space({"lr": "interval(0.01, 1)"}, {}, {}, ["data=fake"]).describe({}) != one


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('choice("a=1","x,y")', ["'a=1'", "'x,y'"]),
        ('"a=1",plain', ["'a=1'", "plain"]),
        ("choice('it\\'s',a b)", ["'it\\'s'", "a b"]),
        ("choice(null,16)", ["null", "16"]),
        ('choice("null",null)', ["'null'", "null"]),
        ('choice("1",1)', ["'1'", "1"]),
        ("choice(true,false)", ["true", "false"]),
        ("choice([1,2],[0.5])", ["[1,2]", "[0.5]"]),
        ('choice(["a=1"],[b])', ["['a=1']", "[b]"]),
        ("choice(${seed},2)", ["${seed}", "2"]),
    ],
)
def test_a_choice_is_written_as_hydra_reads_it(text, written):
    space = read_space({}, {}, {}, [f"key={text}"])
    values = [space.overrides({"key": choice})[0].partition("=")[2] for choice in space.knobs["key"].choices]
    assert [value.replace('"', "'") for value in values] == written
    read = OverridesParser.create().parse_override(normalize_override(f"key={text}"))
    for value, meant in zip(values, read.value().list, strict=True):
        assert read_text(value) == _to_plain(meant)


@pytest.mark.parametrize("text", ["1,2", "choice(1,2)", "range(1,3)", "null,1", "choice(null,1)"])
def test_a_choice_in_yaml_is_one_on_the_command_line(text):
    assert read_space({"key": text}, {}, {}, []).knobs == read_space({}, {}, {}, [f"key={text}"]).knobs


def test_a_logarithmic_range_is_one():
    assert read_space({"k": "tag(log,range(1,100))"}, {}, {}, []).knobs["k"] == IntDistribution(1, 99, log=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tag(log,range(0,100))", "above 0"),
        ("tag(log,range(1,100,10))", "no step"),
        ("tag(log,range(0.1,1,0.1))", "tag(log,interval(low,high))"),
        ("tag(log,choice(1,2))", "does nothing"),
        ("tag(lgo,interval(1,2))", "legal: tag(log, …)"),
        ("shuffle(1,2)", "leave out shuffle"),
        ("shuffle(range(1,5))", "leave out shuffle"),
        ("glob(*)", "cannot be searched"),
        ("interval(5,1)", "low <= high"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused_by_its_name(text, words):
    with pytest.raises(ConfigError) as error:
        read_space({"key": text}, {}, {}, [])
    assert str(error.value).startswith(f"key={text}: ") and words in str(error.value)


@pytest.mark.parametrize(
    ("text", "value", "is_known"),
    [
        ("choice([0.08,1.0],[0.5,1])", [0.08, 1.0], True),
        ("choice([0.08,1],[0.5,1])", [0.08, 1.0], True),
        ("choice([0.3,1],[0.5,1])", [0.08, 1.0], False),
        ("choice(null,16)", None, True),
        ("choice(8,16)", None, False),
        ("choice(0,1)", False, False),
        ("choice(true,false)", False, True),
        ('choice("a=1",b)', "a=1", True),
        ("choice(1,2)", 1.0, True),
        ("choice(none,mixup)", "none", True),
    ],
)
def test_the_own_value_of_the_recipe_is_recognised(text, value, is_known):
    space = read_space({"key": text}, {}, {}, [])
    assert ("key" in space.point({"key": value}, {})) == is_known
