"""Where a time is too short for any verdict, the ways that are named hold what they promise."""

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from sota_exp.config.configuration import Configuration
from sota_exp.study.afford import Variant, build_option, recommend
from sota_exp.study.settings import Allowance, parse_time
from sota_exp.study.too_little import list_ways
from tests.study import test_afford
from tests.study.test_afford import COSTS, noise, variant


def made(arch: str = "torchvision", size: int = 96, **changes: Any) -> Any:
    of = Configuration(
        choices={"model/arch": arch, "model/weights": "scratch"},
        values={"data": {"image_size": size}},
    )
    found = test_afford.made(**changes)
    return replace(
        found, arms=replace(found.arms, ready=tuple(replace(arm, configuration=of) for arm in found.arms.ready))
    )


def ways(amount: float, variants: list[Variant], unit: str = "seconds", most: int = 1, **changes: Any) -> list[str]:
    return list_ways(made(**changes), variants, COSTS, Allowance(amount=amount, unit=unit), noise(), [], most)


def test_each_way_has_its_overrides_and_what_it_shows() -> None:
    found = ways(70.0, [variant(8), variant(2), variant(8, folds=5)], most=2)
    assert [way.partition(":")[0] for way in found[:3]] == ["study.time=2m", "study.time=3m", "study.time=5m"]
    assert re.search(r": 6 seeds with 2 epochs, which show \d\d\.\d\d points$", found[0])
    assert re.search(r": 10 seeds with 8 epochs by folds, on all 240 images, which show \d\.\d\d points$", found[2])
    assert found[3:] == [
        "study.only=[ema] with 2 epochs",
        "data.image_size=48, a quarter of the work",
        "model/arch=small model.arch.name=resnet_xs, a small network",
        "hydra/launcher=joblib hydra.launcher.n_jobs=2, runs at a time",
    ]
    assert ways(10.0, [variant(8)], arch="small", size=32) == found[1:2]


@pytest.mark.parametrize("unit", ["seconds", "runs", "images"])
def test_the_time_that_is_named_is_enough(unit: str) -> None:
    variants = [variant(8), variant(2), variant(8, folds=5)]
    for way, each in zip(ways(1.0, variants, unit), (variants[1], variants[0], variants[2]), strict=False):
        allowance = parse_time(way.partition(":")[0].removeprefix("study.time="))
        assert allowance is not None and allowance.unit == unit
        option = build_option(made(), each, COSTS, allowance, noise(), is_own=True)
        assert option is not None and recommend([option], made(), 8)[0] == 0


@pytest.mark.parametrize("seconds", range(20, 160, 10))
def test_the_techniques_that_are_said_to_fit_do(seconds: float) -> None:
    """The seeds of their arms and of the reference, that decide anything; the last arm shares a training."""
    words = "; ".join(ways(seconds, [variant(8), variant(2)], arch="small", size=32))
    place = {"ema": 1, "mixup": 2}
    for names, epochs in re.findall(r"study\.only=\[([\w,]+)\] with (\d) epochs", words):
        costs = [6 * cost for cost in COSTS.compute_each(variant(int(epochs)), "seconds")]
        chosen = {place[name] for name in names.split(",")}
        cost = costs[0] + sum(costs[at] for at in chosen)
        assert cost <= seconds < cost + min((costs[at] for at in {1, 2} - chosen), default=math.inf)
    assert words.endswith("with 2 epochs") == (seconds >= 50)
    assert "study.only" not in "".join(ways(seconds, [variant(8)], kind="one_slot"))
