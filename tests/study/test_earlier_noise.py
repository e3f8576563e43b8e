"""A plan takes the noise that another study of the same images measured, instead of an assumption."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sota_exp.config.configuration import Configuration
from sota_exp.study.earlier_noise import find_earlier_noise
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import PlannedStudy, StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.study.study_json_power import estimate_study_noise
from sota_exp.study.terminal_plan import format_study_plan
from tests.study.studies import chain, make_values, study, write_all
from tests.study.test_terminal import printed

DATA = {"name": "photos", "root": "/photos", "image_size": 96}


def made(data: dict[str, Any], **changes: Any) -> PlannedStudy:
    found = study(chain("a", "b"), **{"seeds": 8} | changes)
    of = Configuration(choices={"schedule/length": "standard"}, values={**make_values(), "data": data})
    return replace(
        found, arms=replace(found.arms, ready=tuple(replace(arm, configuration=of) for arm in found.arms.ready))
    )


def measured(directory: Path, data: dict[str, Any], recipe: str = "torchvision", **changes: Any) -> dict[str, Any]:
    """A finished study."""
    of, files = replace(made(data, **changes), recipe=recipe), StudyFiles(directory=directory)
    write_all(of, files)
    for arm in of.arms.ready:
        for seed in of.seeds:
            (directory / files.place(arm, seed) / "config.yaml").write_text(json.dumps({"data": data}))
    found = build_study_json(of, StudyRuns.read(of, files, {}))
    files.write(found)
    return found


def test_the_noise_of_the_same_images_is_taken_and_scaled(tmp_path: Path) -> None:
    found = measured(tmp_path / "first", DATA | {"image_size": 32})
    new, files = made(DATA, seeds=6), StudyFiles(directory=tmp_path / "second")
    earlier = find_earlier_noise(files.directory, new)
    assert earlier is not None and earlier.source == "measured by the 16 runs of first"
    assert vars(earlier.noise) == found["plan"]["noise"]
    runs = StudyRuns.read(new, files, {})
    noise = estimate_study_noise(new, runs, {"test": 100}, earlier)
    assert noise.sd == pytest.approx(math.sqrt(earlier.noise.seeds + earlier.noise.both / 100))
    assert noise.noise == earlier.noise and not noise.is_assumed
    shown = " ".join(printed(format_study_plan(new, files, {"counts": {"test": 100}})).split())
    assert "(measured by the 16 runs of first)" in shown and "assum" not in shown


@pytest.mark.parametrize(
    ("changes", "data"),
    [({"metric": "val/accuracy"}, DATA), ({}, DATA | {"root": "/others"}), ({}, DATA | {"name": "csv"})],
)
def test_other_images_and_metrics_tell_nothing(tmp_path: Path, changes: dict[str, Any], data: dict[str, Any]) -> None:
    measured(tmp_path / "first", DATA)
    assert find_earlier_noise(tmp_path / "second", made(data, **changes)) is None
    assert find_earlier_noise(tmp_path / "first", made(DATA)) is None


def test_of_several_studies_that_of_the_recipe_with_the_most_runs_is_taken(tmp_path: Path) -> None:
    for name, recipe, seeds in (("a", "torchvision", 6), ("b", "torchvision", 8), ("c", "photos", 9)):
        measured(tmp_path / name, DATA, recipe, seeds=seeds)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "study.json").write_text("{}")
    for recipe, name in (("torchvision", "b"), ("photos", "c"), ("transfer", "c")):
        earlier = find_earlier_noise(tmp_path / "new", replace(made(DATA), recipe=recipe))
        assert earlier is not None and earlier.source.endswith(f"runs of {name}")
