"""Verdicts of a study on new images: what is shown on the tested ones alone, effects, interactions, folds, looks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sota_exp.config.configuration import Configuration
from sota_exp.statistics.two_sources import combine_crossed, combine_splits
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import StudyDesign
from sota_exp.study.results import JsonObject, StudyRuns
from sota_exp.study.screening import plan_screening
from sota_exp.study.study_json import build_study_json
from sota_exp.study.technique import Technique
from tests.study.studies import arm, chain, simulated, study, write_all, write_run
from tests.study.test_tested_images import FOLDS, write_folds

NUM = 200


def build(made, directory: Path) -> JsonObject:
    return build_study_json(made, StudyRuns.read(made, StudyFiles(directory=directory), {}))


@pytest.mark.parametrize(("gained", "lost", "word"), [(8, 3, "helps here"), (3, 8, "hurts here"), (40, 3, "helps")])
def test_an_effect_on_few_images_is_shown_here_alone(tmp_path: Path, gained: int, lost: int, word: str) -> None:
    """Every seed gains and loses the same images, which other images like these need not have."""
    made, files = study(chain("a", "b"), seeds=8), StudyFiles(directory=tmp_path)
    for each in made.arms.ready:
        for seed in made.seeds:
            correct = np.arange(NUM) % 2 == 0
            if each.name == "b":
                correct[1 : 2 * gained : 2] = True
                correct[0 : 2 * lost : 2] = False
                correct[101 + 2 * seed] = seed % 2  # so that differences are not all equal
            write_run(tmp_path / files.place(each, seed), correct, np.arange(NUM) % 2)
    row = build(made, tmp_path)["arms"][1]
    assert row["p_adjusted"] <= 0.05 and row["verdict"] == word
    low, high = row["new_images"]["interval"]
    assert (word == "helps") == row["new_images"]["is_shown"] == (low > 0 or high < 0)
    assert high - low > row["interval"][1] - row["interval"][0]


@pytest.mark.parametrize("seeds", [1, 4])
def test_effects_of_a_design_have_both_noises(tmp_path: Path, seeds: int) -> None:
    """An effect's mean over the images is its estimate, and one seed is enough."""
    techniques = [Technique(name=name, label=name, on=(f"s/{name}=x",), off=(f"s/{name}=none",)) for name in "pqr"]
    blueprint = plan_screening(techniques, False, lambda on: None, False, beside=False)
    cells = [arm(each.name, is_cell=True) for each in blueprint.arms]
    made = study(cells, blueprint, kind="screening", seeds=seeds)
    gains = {each.name: 1.5 * float(row[0]) for each, row in zip(cells, blueprint.design, strict=True)}
    write_all(made, StudyFiles(directory=tmp_path), gains)
    effects = {each["factor"]: each for each in build(made, tmp_path)["effects"]}
    assert set(effects) == set("pqr")
    for each in effects.values():
        low, high = each["new_images"]["interval"]
        assert low < each["estimate"] < high and high - low > 0
        assert high - low >= (each["interval"][1] - each["interval"][0]) * 0.98
    assert effects["p"]["verdict"] == "helps" and effects["p"]["new_images"]["is_shown"]


def test_an_interaction_of_a_pair_has_both_noises(tmp_path: Path) -> None:
    arms = [arm("baseline"), *(arm(name, "baseline") for name in ("a", "b", "a+b"))]
    made = study(arms, StudyDesign(arms=tuple(each.arm for each in arms), pairs=(("a", "b"),)), kind="pairs", seeds=7)
    write_all(made, StudyFiles(directory=tmp_path), {"a": 0.3})
    found = build(made, tmp_path)
    tables = {name: np.array([simulated(name, seed, gains={"a": 0.3})[0] for seed in range(7)], float) for name in
              ("baseline", "a", "b", "a+b")}  # fmt: skip
    expected = combine_crossed(tables["a+b"] - tables["a"] - tables["b"] + tables["baseline"])
    row = found["interactions"][0]["new_images"]
    assert row["p_value"] == pytest.approx(expected.p_value)
    assert row["interval"] == pytest.approx([expected.find_interval().low, expected.find_interval().high])
    together = [found["interactions"][0], *found["arms"][1:]]
    assert all(each["new_images"]["p_adjusted"] >= each["new_images"]["p_value"] for each in together)


@pytest.mark.parametrize("repeats", [1, 2])
def test_folds_are_widened_for_the_images_they_share(tmp_path: Path, repeats: int) -> None:
    values = {"tracking": {}, "data": {"split": {"folds": FOLDS, "repeats": 1, "repeat": 0, "fold": None}}}
    arms = [replace(each, configuration=Configuration(choices={}, values=values)) for each in chain("a", "b")]
    made = study(arms, seeds=FOLDS * repeats)
    write_folds(made, StudyFiles(directory=tmp_path))
    found = build(made, tmp_path)
    one, other = ([each["values"][seed] for seed in each["values"]] for each in found["arms"])
    expected = combine_splits(np.subtract(other, one), 1 / (FOLDS - 1)).find_interval(largest=1.0)
    row = found["arms"][1]
    assert row["new_images"]["interval"] == pytest.approx([expected.low, expected.high])
    wider = np.diff(row["new_images"]["interval"])[0] / np.diff(row["interval"])[0]
    assert wider == pytest.approx(np.sqrt(1 + repeats * FOLDS / (FOLDS - 1)))


@pytest.mark.parametrize("seeds", [8, 40])
def test_looks_at_any_time_have_an_interval_for_new_images_that_holds_at_every_look(tmp_path: Path, seeds: int) -> None:
    made = study([arm("a"), arm("b", "a")], looks="anytime", seeds=seeds)
    write_all(made, StudyFiles(directory=tmp_path), {"b": 0.25})
    row = build(made, tmp_path)["arms"][1]
    found = row["new_images"]
    assert (found["p_value"], found["p_adjusted"], found["detectable"]) == (None, None, None)
    if found["interval"] is not None:
        assert found["interval"][0] < row["interval"][0] and found["interval"][1] > row["interval"][1]
    assert (row["verdict"] == "helps") == (row["p_adjusted"] <= 0.05 and found["is_shown"])


def test_a_loss_has_the_noise_of_the_runs_alone(tmp_path: Path) -> None:
    made = study(chain("a", "b"), seeds=8, metric="test/loss")
    write_all(made, StudyFiles(directory=tmp_path), {"b": 2.0})
    row = build(made, tmp_path)["arms"][1]
    assert row["new_images"] is None and row["verdict"] == "helps here" and "it is not known" in row["verdict_words"]
