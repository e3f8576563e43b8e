"""The node `study`: legal settings, and the messages of errors."""

from typing import Any

import pytest

from sota_exp.config.build import build
from sota_exp.errors import ConfigError
from sota_exp.study.settings import StudySettings, parse_study_technique
from tests.rows import each_row
from tests.study.studies import STANDARD


def settings(**changes: Any) -> StudySettings:
    return build(StudySettings, STANDARD | changes, "study")


@pytest.mark.parametrize(
    ("seeds", "looks", "expected"),
    [
        (3, None, [5, 6, 7]),
        ([4, 1], None, [4, 1]),
        (3, [2, 8], [*range(5, 13)]),
        (3, "anytime", [5, 6, 7]),
        ([4, 1], "anytime", [4, 1]),
    ],
)
def test_seeds_are_a_count_a_list_or_those_of_the_last_look(seeds: Any, looks: Any, expected: list[int]) -> None:
    assert settings(seeds=seeds, looks=looks).list_seeds(5) == expected


@each_row(
    "changes, words",
    [
        ({"kind": "ladders"}, "study.kind=ladders is not legal: ladder, leave_one_out"),
        ({"seeds": 0}, "study.seeds=0 is not legal: a count"),
        ({"seeds": [1, 1]}, r"study.seeds=\[1, 1\] is not legal"),
        ({"seeds": True}, "study.seeds=true is not legal"),
        ({"budget": "hours"}, "study.budget=hours is not legal: epochs, steps, flops, seconds"),
        ({"metric": "accuracy"}, "study.metric=accuracy is not legal: val/accuracy"),
        ({"level": 95}, "study.level=95"),
        ({"looks": [8, 8]}, "study.looks"),
        ({"looks": "always"}, r"study.looks=always is not legal: null, anytime, or a list of numbers of seeds"),
        ({"looks": ["a", 8]}, r"study.looks=\['a', 8\] is not legal: null, anytime, or a list"),
        ({"looks": [8.5, 12]}, "study.looks"),
        ({"looks": 8}, "study.looks=8 is not legal: null, anytime, or a list"),
        ({"looks": "anytime", "kind": "pairs"}, "study.looks=anytime is not legal: null for kind pairs"),
        ({"smallest_effect": 0}, "study.smallest_effect=0.0 is not legal: null, or a positive difference"),
        ({"kind": "null", "seeds": [1, 2000]}, "below 1000"),
        ({"kind": "auto", "seeds": 1001}, "below 1000 in a study of kind auto, whose stages are 1000 seeds apart"),
        ({"kind": "auto", "interactions": True}, "study.interactions=true is not legal: false for kind auto"),
        ({"kind": "auto", "time": "2h"}, "study.time=2h is not legal: null for kind auto"),
        ({"seed": 3}, "study.seed: no such key"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(**changes)


def test_only_chooses_and_orders_and_knows_the_names() -> None:
    table = {name: {"with": [f"{name}=1"], "without": [f"{name}=0"]} for name in ("mixup", "ema")}
    assert [each.name for each in settings(only=["ema", "mixup"], techniques=table).get_chosen_techniques()] == [
        "ema",
        "mixup",
    ]
    with pytest.raises(ConfigError, match=r"study.only=emma: no such technique; legal: mixup, ema. Did you mean ema\?"):
        settings(only=["emma"], techniques=table).get_chosen_techniques()


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ("mixup", "expected a group"),
        ({"with": ["a=1"]}, "without=None: expected a list of overrides"),
        ({"with": "a=1", "without": []}, "with=a=1: expected a list"),
        ({"with": ["a=1"], "without": ["a=0"], "on": 1}, "on: no such key"),
        ({"with": ["a=1"], "without": ["a=0"], "scaled": {"lr": "x"}}, "scaled"),
    ],
)
def test_an_entry_that_is_no_technique_is_said_to_be_none(node: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_study_technique("mine", node)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"looks": [3, 6]}, r"study.looks=\[3, 6\] is not legal: more seeds at the last look, so that it can decide"),
        (
            {"looks": [6, 8], "seeds": [0, 1, 2]},
            r"study.seeds=\[0, 1, 2\] is not legal: a list of 8 seeds, as many as the last look",
        ),
        ({"looks": [8, 12], "kind": "pairs"}, "null for kind pairs, whose effects are tested once"),
    ],
)
def test_looks_that_can_decide_nothing_are_refused(changes: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(**changes)


def test_the_level_of_a_test_with_looks_is_that_of_its_look() -> None:
    assert settings().get_test_level(8) == 0.95
    looked = settings(looks=[8, 12, 16])
    assert [looked.get_test_level(num) for num in (8, 12, 16)] == pytest.approx([0.975, 0.9875, 0.9875])


def test_looks_at_any_time_have_the_level_of_the_study() -> None:
    found = settings(looks="anytime", seeds=3)
    assert found.has_anytime_looks and found.planned_looks is None and found.get_test_level(3) == 0.95
    assert not settings(looks=[8, 12]).has_anytime_looks and settings(looks=[8, 12]).planned_looks == [8, 12]
