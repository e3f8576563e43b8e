"""Verdicts of a study on new images: what is shown on the tested ones alone, effects, interactions, folds, looks."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sota_exp.report.study.answer import build_study_answer
from sota_exp.report.study.read import read_study
from sota_exp.statistics.two_sources import combine_crossed, combine_folds, combine_splits
from sota_exp.study.files import StudyFiles
from sota_exp.study.new_images import needs_no_seeds
from sota_exp.study.plan import StudyDesign
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.screening import plan_screening
from sota_exp.study.study_json import build_study_json
from sota_exp.study.technique import Technique
from tests.study.studies import arm, chain, simulated, study, write_all, write_run
from tests.study.test_tested_images import FOLDS, fold_of, right, write_folds

NUM = 200


def build(made, directory: Path) -> JsonObject:
    return build_study_json(made, StudyRuns.read(made, StudyFiles(directory=directory), {}))


def write_same_images(made: PlannedStudy, directory: Path, gained: int, lost: int) -> None:
    """Runs of arms a and b; at every seed b gains and loses the same images."""
    files = StudyFiles(directory=directory)
    for each in made.arms.ready:
        for seed in made.seeds:
            correct = np.arange(NUM) % 2 == 0
            if each.name == "b":
                correct[1 : 2 * gained : 2] = True
                correct[0 : 2 * lost : 2] = False
                correct[101 + 2 * seed] = seed % 2  # so that differences are not all equal
            write_run(directory / files.place(each, seed), correct, np.arange(NUM) % 2)


@pytest.mark.parametrize(("gained", "lost", "word"), [(8, 3, "helps here"), (3, 8, "hurts here"), (40, 3, "helps")])
def test_an_effect_on_few_images_is_shown_here_alone(tmp_path: Path, gained: int, lost: int, word: str) -> None:
    """Other images like these need not have what every seed gains here."""
    made = study(chain("a", "b"), seeds=8)
    write_same_images(made, tmp_path, gained, lost)
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


@pytest.mark.parametrize(("repeats", "metric"), [(1, "accuracy"), (2, "accuracy"), (2, "loss")])
def test_folds_have_the_noise_of_all_images_and_metrics_without_images_that_of_runs_alone(
    tmp_path: Path, repeats: int, metric: str
) -> None:
    split = {"folds": FOLDS, "repeats": 1, "repeat": 0, "fold": None}
    data = {"image_size": 32, "val_fraction": 0.1, "split": split}
    arms = [replace(each, configuration=each.configuration.with_values(data=data)) for each in chain("a", "b")]
    made = study(arms, seeds=FOLDS * repeats, metric=f"test/{metric}")
    write_folds(made, StudyFiles(directory=tmp_path))
    found = build(made, tmp_path)
    before, after = ([each["values"][seed] for seed in each["values"]] for each in found["arms"])
    expected = combine_splits(np.subtract(after, before), 1 / (FOLDS - 1) / 0.9)  # val is a tenth of the untested
    if metric == "accuracy":
        images = [fold_of(seed) for seed in made.seeds]
        rows = [
            1.0 * right("b", seed)[each] - right("a", seed)[each] for seed, each in zip(made.seeds, images, strict=True)
        ]
        expected = combine_folds(rows, images)
    ends = expected.find_interval(largest=1.0)
    assert found["arms"][1]["new_images"]["interval"] == pytest.approx([ends.low, ends.high])


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


@pytest.mark.parametrize(("gained", "lost", "word"), [(8, 3, "helps here"), (60, 3, "helps")])
def test_looks_at_any_time_go_on_until_an_arm_is_shown_on_new_images_or_cannot_be(
    tmp_path: Path, gained: int, lost: int, word: str
) -> None:
    """An arm left with the evidence for these images, which is never enough for others: "helps" was out of reach."""
    made = study(chain("a", "b"), looks="anytime", seeds=40)
    write_same_images(made, tmp_path, gained, lost)
    found = build(made, tmp_path)
    row = found["arms"][1]
    assert row["verdict"] == word and found["looks"]["decided"]["b"] == row["n"] < 40
    assert row["further_seeds"] is None and row["p_adjusted"] <= 0.05


def test_an_arm_goes_on_where_further_seeds_lower_the_noise_of_images(tmp_path: Path) -> None:
    """At 8 seeds most of it is that of trainings on these images: arms left as if no seed could ever show them."""
    made = study(chain("a", "b"), looks="anytime", seeds=8)
    files = StudyFiles(directory=tmp_path)
    for each, seed in itertools.product(made.arms.ready, made.seeds):
        right = np.random.default_rng([seed, *each.name.encode()]).random(NUM) < (0.81 if each.name == "b" else 0.8)
        write_run(tmp_path / files.place(each, seed), right, np.arange(NUM) % 2)
    assert not needs_no_seeds(made, StudyRuns.read(made, files, {}), "b", 8)


def build_design(directory: Path, seeds: int, gains: float) -> tuple[PlannedStudy, StudyFiles]:
    techniques = [Technique(name=name, label=name, on=(f"s/{name}=x",), off=(f"s/{name}=none",)) for name in "pqr"]
    blueprint = plan_screening(techniques, False, lambda on: None, False, beside=False)
    made = study([arm(each.name, is_cell=True) for each in blueprint.arms], blueprint, kind="screening", seeds=seeds)
    assert blueprint.design is not None
    rows = zip(made.arms.ready, blueprint.design, strict=True)
    files = StudyFiles(directory=directory)
    if gains:
        write_all(made, files, {each.name: gains * float(row[0]) for each, row in rows})
        return made, files
    for each, row in rows:
        for seed in made.seeds:
            write_run(directory / files.place(each, seed), np.arange(100) < 50 + 10 * (row[0] > 0), np.arange(100) % 2)
    return made, files


def test_a_design_without_noise_has_no_interval_for_new_images_either(tmp_path: Path) -> None:
    made, _ = build_design(tmp_path, 1, 0.0)
    assert [(each["interval"], each["new_images"]) for each in build(made, tmp_path)["effects"]] == [(None, None)] * 3


def test_a_lost_run_of_a_design_leaves_the_seeds_that_all_cells_have(tmp_path: Path) -> None:
    made, files = build_design(tmp_path, 8, 1.5)
    whole = build(made, tmp_path)["effects"][0]
    shutil.rmtree(tmp_path / files.place(made.arms.ready[3], 7))
    found = build(made, tmp_path)["effects"][0]
    assert whole["verdict"] == found["verdict"] == "helps"
    assert found["new_images"]["interval"] == pytest.approx(whole["new_images"]["interval"], abs=0.02)


def test_arms_without_a_p_value_count_among_all_comparisons(tmp_path: Path) -> None:
    """Eleven arms that differ by the same at every seed, and one with five images: 0.02 was its adjusted p-value."""
    names = [f"t{number}" for number in range(12)]
    made = study([arm("base"), *(arm(name, "base") for name in names)], kind="add_one_in", seeds=12)
    files = StudyFiles(directory=tmp_path)
    for each in made.arms.ready:
        for seed in made.seeds:
            correct = np.arange(24) < (15 if each.name == "t0" else 10)
            correct[16] = each.name == "t0" and seed == 3
            write_run(tmp_path / files.place(each, seed), correct, np.arange(24) % 2)
    row = build(made, tmp_path)["arms"][1]
    assert row["verdict"] == "helps here"
    assert row["new_images"]["p_adjusted"] == pytest.approx(12 * row["new_images"]["p_value"])


def test_an_interaction_can_be_of_two_whole_points(tmp_path: Path) -> None:
    arms = [arm("baseline"), *(arm(name, "baseline") for name in ("a", "b", "a+b"))]
    made = study(arms, StudyDesign(arms=tuple(each.arm for each in arms), pairs=(("a", "b"),)), kind="pairs", seeds=7)
    files = StudyFiles(directory=tmp_path)
    for each in arms:
        for seed in made.seeds:
            right = np.random.default_rng([seed, len(each.name)]).random(40) < 0.95
            is_high = each.name in ("baseline", "a+b")
            write_run(tmp_path / files.place(each, seed), right == is_high, np.arange(40) % 2)
    found = build(made, tmp_path)
    row = found["interactions"][0]
    low, high = row["new_images"]["interval"]
    assert 1 < low < row["estimate"] < high <= 2
    (tmp_path / "study.json").write_text(json.dumps(found))
    assert "1 pair helps more together" in build_study_answer(read_study(tmp_path))


def test_an_interaction_that_is_shown_here_is_told(tmp_path: Path) -> None:
    """Of a loss, whose words are all "here": the page said that no interaction was shown."""
    arms = [arm("baseline"), *(arm(name, "baseline") for name in ("a", "b", "a+b"))]
    blueprint = StudyDesign(arms=tuple(each.arm for each in arms), pairs=(("a", "b"),))
    made = study(arms, blueprint, kind="pairs", seeds=8, metric="test/loss")
    write_all(made, StudyFiles(directory=tmp_path), {"a+b": 3.0})
    found = build(made, tmp_path)
    assert found["interactions"][0]["verdict"] == "helps here"
    (tmp_path / "study.json").write_text(json.dumps(found))
    words = build_study_answer(read_study(tmp_path))
    assert "1 pair changed the score on these test images" in words and "No interaction" not in words


def test_what_is_adjusted_was_scaled_by_its_look_before(tmp_path: Path) -> None:
    """Two arms that leave at different looks: neither's p-value is less than its own, scaled, nor more than twice."""
    made = study([arm("a"), arm("b", "a"), arm("c", "a")], looks=[8, 10])
    write_all(made, StudyFiles(directory=tmp_path), {"b": 1.0, "c": 0.05})
    rows = build(made, tmp_path)["arms"][1:]
    assert {row["n"] for row in rows} == {8, 10}
    for row in rows:
        scaled = min(1.0, row["new_images"]["p_value"] * 10 / (8 if row["n"] == 8 else 2))
        assert scaled <= row["new_images"]["p_adjusted"] <= min(1.0, 2 * scaled)
