"""study.json of simulated runs: every number is recomputed from the files, and missing runs are reported."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sota_exp.config.split_of_seed import ScoredShare
from sota_exp.report.study.answer import build_study_answer
from sota_exp.report.study.page import write_study_report
from sota_exp.report.study.read import read_study
from sota_exp.statistics.anytime import compute_confidence_sequence
from sota_exp.statistics.paired import bonett_price_interval
from sota_exp.statistics.power import find_detectable_difference
from sota_exp.statistics.sign_flip import sign_flip_test
from sota_exp.statistics.verdict import NO_INTERVAL
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import StudyDesign
from sota_exp.study.results import StudyRuns
from sota_exp.study.screening import plan_screening
from sota_exp.study.settings import parse_study_technique
from sota_exp.study.study_json import build_study_json
from sota_exp.study.study_json_anytime import build_costs_of_looks
from sota_exp.study.study_json_power import StudyNoise, build_power_table, estimate_sd, estimate_study_noise
from sota_exp.study.technique import Technique
from sota_exp.study.terminal import format_study_result
from sota_exp.tracking.mlflow_study import format_study_note
from tests.study.studies import arm, chain, result, simulated, study, write_all, write_run
from tests.study.test_terminal import printed

GAINS = {"b": 0.4, "c": 0.4}


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(directory=tmp_path)


def test_every_number_of_an_arm_is_that_of_its_files(files: StudyFiles) -> None:
    made = study(chain("a", "b", "c"), seeds=8)
    write_all(made, files, GAINS)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    rows = {row["name"]: row for row in found["arms"]}
    raw = {
        name: [
            json.loads((files.directory / rows[name]["runs"][str(seed)] / "result.json").read_text())
            for seed in range(8)
        ]
        for name in rows
    }
    difference = np.array([run["metrics"]["test/accuracy"] for run in raw["b"]]) - [
        run["metrics"]["test/accuracy"] for run in raw["a"]
    ]
    interval = stats.ttest_1samp(difference, 0).confidence_interval(0.95)
    row = rows["b"]
    assert row["difference"] == pytest.approx(difference.mean()) and row["n"] == 8
    assert row["interval"] == pytest.approx([interval.low, interval.high])
    expected = stats.permutation_test((difference,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert row["p_value"] == pytest.approx(expected.pvalue)
    assert row["verdict"] == "helps" and row["p_adjusted"] <= 0.05 and "points" in row["verdict_words"]
    correct = {name: np.mean([simulated(name, seed, gains=GAINS)[0] for seed in range(8)], axis=0) for name in "ab"}
    matrices = ([simulated(name, seed, gains=GAINS)[0] for seed in range(8)] for name in "ab")
    over_images = bonett_price_interval(*matrices)  # As compare has it: test_compare_runs.py.
    assert row["examples"]["interval"] == [over_images.low, over_images.high]
    assert row["examples"]["difference"] == pytest.approx(row["difference"])
    assert row["examples"]["won"] == int((correct["b"] > correct["a"]).sum())
    ece = np.array([run["metrics"]["test/ece"] for run in raw["b"]])
    assert row["calibration"]["ece"] == pytest.approx(ece.mean())
    cats = [
        after["per_class_accuracy"]["cat"] - before["per_class_accuracy"]["cat"]
        for after, before in zip(raw["b"], raw["a"], strict=True)
    ]
    assert row["classes"]["cat"]["difference"] == pytest.approx(np.mean(cats))
    assert row["cost"]["seconds_difference"] == pytest.approx(difference.mean())
    assert row["cost"]["training_flops"] == 3 * 500 * 0.25 * 1000
    assert row["cost"]["points_per_hour"] == pytest.approx(100 * 3600)
    assert rows["a"]["verdict"] == "reference" and rows["c"]["verdict"] == "cannot be distinguished"
    assert found["status"] == "complete" and not found["missing"] and found["plan"]["num_tests"] == 2
    assert found["refused"] == [{"name": "impossible", "reason": "a rule forbids it"}]


@pytest.mark.parametrize("seeds", [2, 8])
@pytest.mark.parametrize("gain", [0, 40])
def test_seeds_that_agree_give_no_interval_and_no_detectable_effect(files: StudyFiles, seeds: int, gain: int) -> None:
    """Two equal differences are no certainty: "0.00 to 0.00" was written."""
    made = study(chain("a", "b"), seeds=seeds)
    labels = np.arange(400) % 2
    for each, num in zip(made.arms.ready, (200, 200 + gain), strict=True):
        for seed in made.seeds:
            write_run(files.directory / files.place(each, seed), np.arange(400) < num, labels)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    row = found["arms"][1]
    assert (row["interval"], row["detectable"], row["classes"]["cat"]["interval"]) == (None, None, None)
    assert row["difference"] == pytest.approx(gain / 400) and row["examples"]["interval"][0] < gain / 400
    word = {2: "too few seeds", 8: "helps here" if gain else "cannot be distinguished"}[seeds]
    assert row["verdict"] == word and NO_INTERVAL in row["verdict_words"]
    assert "an assumption" in found["plan"]["sd_source"] and found["plan"]["sd_assumed"] > 0.01
    text = printed(format_study_result(found))
    assert f"–: {NO_INTERVAL}." in " ".join(text.split()) and "0.00 … " not in text
    cells = [cell.strip() for cell in format_study_note(found).split("|")]
    assert cells[cells.index("–") - 1] == ("+10.00" if gain else "0.00")
    (files.directory / "study.json").write_text(json.dumps(found))
    write_study_report(files.directory)
    assert f"–: {NO_INTERVAL}." in (files.directory / "report.md").read_text()


def test_it_is_plain_json_and_the_same_twice(files: StudyFiles) -> None:
    made = study(chain("a", "b"), seeds=6)
    write_all(made, files)
    one = json.dumps(build_study_json(made, StudyRuns.read(made, files, {})), allow_nan=False)
    assert one == json.dumps(build_study_json(made, StudyRuns.read(made, StudyFiles(directory=files.directory), {})))


def test_a_class_without_test_images_has_no_change(files: StudyFiles) -> None:
    made = study(chain("a", "b"), seeds=6)
    for each in made.arms.ready:
        for seed in range(6):
            correct, labels = simulated(each.name, seed, gains=GAINS)
            given = result(correct, labels)["per_class_accuracy"] | {"fox": None}
            write_run(files.directory / files.place(each, seed), correct, labels, per_class_accuracy=given)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    assert found["classes"] == ["cat", "dog", "fox"]
    assert found["arms"][1]["classes"]["fox"] == {"difference": None, "interval": None}


@pytest.mark.parametrize(
    ("digests", "cut", "is_paired"),
    [
        ({"a": "1", "b": "1"}, {}, True),
        ({"a": "1", "b": "2"}, {}, False),
        ({"a": None, "b": None}, {}, True),  # of an older version
        ({"a": None, "b": None}, {"split_seed": 4}, False),
        ({"a": "1", "b": None}, {"test_fraction": 0.3}, False),
    ],
)
def test_arms_are_paired_by_image_only_if_they_scored_the_same_images(
    files: StudyFiles, digests: dict[str, str | None], cut: dict, is_paired: bool
) -> None:
    made = study(chain("a", "b"), seeds=6)
    values = made.arms.ready[1].configuration.values
    values["data"] = values["data"] | cut
    for each in made.arms.ready:
        for seed in range(6):
            given = {"image_digests": {"test": digests[each.name]}} if digests[each.name] else {}
            write_run(files.directory / files.place(each, seed), *simulated(each.name, seed), **given)
    found = build_study_json(made, StudyRuns.read(made, files, {}))["arms"][1]
    assert (found["examples"] is not None) == is_paired and found["difference"] is not None


def test_failures_are_shown_and_leave_the_other_arms_standing(files: StudyFiles) -> None:
    made = study(chain("a", "b", "c"), seeds=6)
    write_all(made, files)
    for seed in range(6):
        place = files.directory / files.place(made.arms.ready[1], seed)
        (place / "result.json").write_text(json.dumps({"status": "failed", "reason": "diverged: train/loss is nan"}))
    found = build_study_json(made, StudyRuns.read(made, StudyFiles(directory=files.directory), {}))
    rows = {row["name"]: row for row in found["arms"]}
    assert rows["b"]["verdict"] == rows["c"]["verdict"] == "failed" and "diverged" in rows["b"]["verdict_words"]
    assert rows["a"]["n"] == 6 and found["status"] == "partial"
    assert found["missing"][0] == {"arm": "b", "seed": 0, "reason": "diverged: train/loss is nan"}


def test_a_study_before_its_first_run_does_not_know_its_test_images(files: StudyFiles) -> None:
    made = study(chain("a", "b"), seeds=3)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    assert [row["verdict"] for row in found["arms"]] == ["reference", "too few seeds"]
    assert found["arms"][1]["verdict_words"].endswith("0 pairs. At least 6 seeds are needed.")
    files.write(found)
    assert "1 has too few seeds (at least 6 are needed): B." in str(build_study_answer(read_study(files.directory)))
    assert len(found["missing"]) == 6 and found["missing"][0]["reason"] == "not run yet"
    assert "detectable" not in found["plan"] and found["plan"]["sd_source"].startswith("unknown: it depends on")
    assert "unknown: it depends on the number of test images" in " ".join(printed(format_study_result(found)).split())


def test_with_looks_only_the_undecided_want_more_seeds(files: StudyFiles) -> None:
    made = study(chain("a", "b", "c"), looks=[8, 12])
    for each in made.arms.ready:
        for seed in range(8):
            correct, labels = simulated(each.name, seed, gains={"b": 2.0, "c": 2.0})
            write_run(files.directory / files.place(each, seed), correct, labels)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    rows = {row["name"]: row for row in found["arms"]}
    assert found["looks"]["done"] == [8] and found["looks"]["decided"] == {"b": 8}
    assert rows["b"]["verdict"] == "helps" and rows["c"]["verdict"] == "cannot be distinguished"
    assert {(item["arm"], item["seed"]) for item in found["missing"]} == {
        (name, seed) for name in "bc" for seed in range(8, 12)
    }


def test_interactions_of_pairs_are_both_minus_each_plus_neither(files: StudyFiles) -> None:
    arms = [arm("baseline"), *(arm(name, "baseline") for name in ("a", "b", "a+b"))]
    blueprint = StudyDesign(arms=tuple(each.arm for each in arms), pairs=(("a", "b"),))
    made = study(arms, blueprint, seeds=6)
    write_all(made, files)
    (row,) = build_study_json(made, StudyRuns.read(made, files, {}))["interactions"]
    accuracy = {each.name: np.array([simulated(each.name, seed)[0].mean() for seed in range(6)]) for each in arms}
    assert row["estimate"] == pytest.approx(
        (accuracy["a+b"] - accuracy["a"] - accuracy["b"] + accuracy["baseline"]).mean()
    )
    assert row["factors"] == ["a", "b"] and row["verdict"] == "cannot be distinguished"


def test_every_interval_has_the_level_of_the_study(files: StudyFiles) -> None:
    made = study(chain("a", "b"), seeds=8, level=0.9)
    write_all(made, files, {"b": 0.3})
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    row = found["arms"][1]
    runs = [
        [json.loads((files.directory / arm["runs"][str(seed)] / "result.json").read_text()) for seed in range(8)]
        for arm in found["arms"]
    ]
    numbers = {
        "difference": (row["interval"], lambda result: result["metrics"]["test/accuracy"]),
        "calibration": (row["calibration"]["interval"], lambda result: result["metrics"]["test/ece"]),
        "cost": (row["cost"]["interval"], lambda result: result["seconds"]["train"]),
        "class": (row["classes"]["cat"]["interval"], lambda result: result["per_class_accuracy"]["cat"]),
    }
    for name, (interval, read) in numbers.items():
        differences = np.subtract(*([read(result) for result in arm] for arm in (runs[1], runs[0])))
        expected = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
        assert interval == pytest.approx([expected.low, expected.high]), name


def test_a_screening_study_has_effects_of_its_cells(files: StudyFiles) -> None:
    techniques = [parse_study_technique(name, {"with": [f"{name}=1"], "without": [f"{name}=0"]}) for name in "pqrs"]
    blueprint = plan_screening(techniques, False, lambda on: None, False, beside=False)
    cells = [arm(each.name, is_cell=True) for each in blueprint.arms]
    made = study(cells, blueprint, kind="screening", seeds=2)
    assert blueprint.design is not None
    gains = {each.name: 0.6 * float(row[1]) for each, row in zip(cells, blueprint.design, strict=True)}
    write_all(made, files, gains)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    assert [row["factor"] for row in found["effects"]] == list("pqrs")
    assert [row["verdict"] for row in found["effects"]] == [
        "cannot be distinguished",
        "helps",
        *["cannot be distinguished"] * 2,
    ]
    assert found["effects"][1]["aliases"] == []


@pytest.mark.parametrize("looks", [[6, 8], [7, 10], [8, 9]])
def test_an_arm_decided_at_an_early_look_has_the_verdict_of_that_look(files: StudyFiles, looks: list[int]) -> None:
    made = study(chain("a", "b"), looks=looks)
    for each in made.arms.ready:
        for seed in range(looks[0]):
            correct, labels = simulated(each.name, seed, gains={"b": 2.0})
            write_run(files.directory / files.place(each, seed), correct, labels)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    row = found["arms"][1]
    assert row["verdict"] == "helps" and row["p_adjusted"] <= 0.05 and row["n"] == looks[0]
    level = 1 - 0.05 * looks[0] / looks[1]
    over_seeds = find_detectable_difference(np.std(row_differences(found), ddof=1), looks[0], 1, level)
    assert over_seeds is not None
    assert row["detectable"] == pytest.approx(max(over_seeds, row["new_images"]["detectable"]))
    assert found["looks"]["done"] == [looks[0]]  # Nothing ran at the second look, where no arm was undecided.
    assert found["looks"]["alpha_spent"] == pytest.approx([0.05 * looks[0] / looks[1]])
    assert found["status"] == "complete" and not found["missing"]


def row_differences(found: dict) -> list[float]:
    one, other = (row["values"] for row in found["arms"])
    return [other[seed] - one[seed] for seed in one]


def test_arms_and_interactions_of_pairs_are_one_family(files: StudyFiles) -> None:
    arms = [arm("baseline"), *(arm(name, "baseline") for name in ("a", "b", "a+b"))]
    made = study(arms, StudyDesign(arms=tuple(each.arm for each in arms), pairs=(("a", "b"),)), kind="pairs", seeds=7)
    write_all(made, files, {"a": 0.3})
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    values = {row["name"]: np.array(list(row["values"].values())) for row in found["arms"]}
    columns = [values[name] - values["baseline"] for name in ("a", "b", "a+b")]
    columns.append(values["a+b"] - values["a"] - values["b"] + values["baseline"])
    expected = sign_flip_test(np.column_stack(columns)).p_adjusted
    rows = [*found["arms"][1:], *found["interactions"]]
    assert [row["p_adjusted"] for row in rows] == pytest.approx(expected) and found["plan"]["num_tests"] == 4


def test_arms_beside_a_design_have_half_of_the_error_and_effects_the_rest_or_all_if_no_arm_can_be_decided() -> None:
    techniques = [parse_study_technique(name, {"with": [f"{name}=1"], "without": [f"{name}=0"]}) for name in "pq"]
    blueprint = plan_screening(techniques, False, lambda on: None, False, beside=True)
    arms = [arm(each.name, each.reference, is_cell=each.is_cell) for each in blueprint.arms]
    few, many = (study(arms, blueprint, kind="screening", seeds=seeds) for seeds in (6, 7))
    assert (few.get_test_level(6), many.get_test_level(7)) == pytest.approx((0.975, 0.975))
    assert (few.num_families_of_effects, many.num_families_of_effects) == (1, 2)


def test_with_looks_at_any_time_arms_leave_when_decided_and_more_seeds_go_on(files: StudyFiles) -> None:
    """b is decided before the last seed; c goes on, and the repeated command with more seeds decides it."""
    made = study([arm("a"), arm("b", "a"), arm("c", "a")], looks="anytime", seeds=8)
    gains = {"b": 2.0, "c": 0.2}
    write_all(made, files, gains)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    rows = {row["name"]: row for row in found["arms"]}
    num = found["looks"]["decided"]["b"]
    assert found["looks"] == {"kind": "anytime", "threshold": 20.0, "done": [8], "decided": {"b": num}} and num <= 8
    assert rows["b"]["verdict"] == "helps" and rows["b"]["n"] == num == len(rows["b"]["evidence"])
    assert rows["b"]["evidence"][-1] >= 20 and rows["b"]["further_seeds"] is None
    assert rows["b"]["interval"][0] > 0 and rows["b"]["p_adjusted"] == pytest.approx(1 / rows["b"]["evidence"][-1])
    assert rows["c"]["n"] == 8 and rows["c"]["verdict"] in ("too few seeds", "cannot be distinguished")
    assert rows["c"]["further_seeds"] and f"{rows['c']['further_seeds']} further seeds" in rows["c"]["verdict_words"]
    assert "evidence" not in rows["a"] and found["status"] == "complete" and not found["missing"]
    longer = study([arm("a"), arm("b", "a"), arm("c", "a")], looks="anytime", seeds=40)
    write_all(longer, files, gains)
    later = build_study_json(longer, StudyRuns.read(longer, files, {}))
    again = {row["name"]: row for row in later["arms"]}
    assert again["c"]["verdict"] in ("helps", "helps here") and num < again["c"]["n"] <= 40
    assert later["looks"]["decided"]["b"] == num and again["b"]["p_adjusted"] == rows["b"]["p_adjusted"]
    assert again["c"]["evidence"][:8] == rows["c"]["evidence"] and again["b"]["difference"] == rows["b"]["difference"]


def test_the_interval_of_looks_at_any_time_is_the_confidence_sequence(files: StudyFiles) -> None:
    made, plain = (study(chain("a", "b"), looks=looks, seeds=7) for looks in ("anytime", None))
    write_all(made, files)
    found, fixed = (build_study_json(each, StudyRuns.read(each, files, {})) for each in (made, plain))
    own = compute_confidence_sequence(row_differences(found), largest=1.0)
    assert own is not None and found["arms"][1]["interval"] == [own.low, own.high]
    low, high = fixed["arms"][1]["interval"]
    assert own.low < low < high < own.high  # The price of looking whenever one likes.


@pytest.mark.parametrize(("num", "words"), [(2, "no effect of one arm alone"), (5, "so few seeds exclude no")])
def test_with_few_seeds_looks_at_any_time_say_that_they_are_too_few(files: StudyFiles, num: int, words: str) -> None:
    made = study(chain("a", "b"), looks="anytime", seeds=num)
    write_all(made, files, {"b": 2.0})
    row = build_study_json(made, StudyRuns.read(made, files, {}))["arms"][1]
    assert row["verdict"] == "too few seeds" and words in row["verdict_words"] and row["interval"] is None


@pytest.mark.parametrize("looks", [None, [8, 12]])
def test_without_looks_at_any_time_nothing_of_them_is_in_the_file(files: StudyFiles, looks: Any) -> None:
    made = study(chain("a", "b"), looks=looks, seeds=6)
    write_all(made, files)
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    assert not {"evidence", "further_seeds"} & {key for row in found["arms"] for key in row}
    power = {"sd_assumed", "sd_source", "noise", "num_tests", "new_images", "detectable", "seeds_needed"}
    assert set(found["plan"]) == power


def test_without_a_number_of_test_images_nothing_is_promised(files: StudyFiles) -> None:
    """A point was promised in 11 seeds before the test images were counted: with 24 of them it takes hundreds."""
    made = study(chain("a", "b"), seeds=11)
    plan = build_study_json(made, StudyRuns.read(made, files, {}))["plan"]
    assert plan["sd_assumed"] is None and "number of test images" in plan["sd_source"] and "detectable" not in plan
    noise = estimate_study_noise(made, StudyRuns.read(made, files, {}), {"train": 192, "val": 24, "test": 24})
    plan = build_power_table(made, StudyRuns.read(made, files, {}), noise)
    assert plan["seeds_needed"]["0.01"] > 600 and plan["new_images"]["detectable"] > plan["detectable"]["11"] > 0.05


@pytest.mark.parametrize("metric", ["test/accuracy", "val/accuracy", "test/loss", "test/macro_f1"])
def test_the_noise_of_images_is_that_of_shares_of_images(files: StudyFiles, metric: str) -> None:
    made = study(chain("a", "b"), metric=metric, seeds=8)
    found = estimate_study_noise(made, StudyRuns.read(made, files, {}), {"train": 192, "val": 48, "test": 24})
    power = build_power_table(made, StudyRuns.read(made, files, {}), found)
    assert found.num_test == found.count_images(None) == (48 if metric.startswith("val") else 24)
    folds = ScoredShare(of_all=0.2, to_train=0.25, runs_per_repeat=5)
    assert found.count_images(folds) == 264  # all of the data set, however the folds were rounded
    assert (found.noise is None) == (not metric.endswith("accuracy")) == (power["new_images"]["detectable"] is None)


def test_the_noise_of_a_design_is_that_between_seeds_within_its_cells(files: StudyFiles) -> None:
    arms = [arm(f"cell_{num}", is_cell=True) for num in range(1, 5)]
    design = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    blueprint = StudyDesign(arms=tuple(each.arm for each in arms), factors={"x": "X", "y": "Y"}, design=design)
    made = study(arms, blueprint, kind="screening", seeds=6)
    assert estimate_sd(made, StudyRuns.read(made, files, {})) is None
    write_all(made, files)
    runs = StudyRuns.read(made, files, {})
    found = estimate_sd(made, runs)
    assert found is not None and found[1] == "this study's 24 runs"
    pairs = [
        np.std([runs.values(one.name)[seed] - runs.values(other.name)[seed] for seed in made.seeds], ddof=1)
        for index, one in enumerate(arms)
        for other in arms[index + 1 :]
    ]
    assert found[0] == pytest.approx(math.sqrt(np.mean(np.square(pairs))))


def test_one_seed_per_cell_tells_its_noise_with_the_interactions_in_it(files: StudyFiles) -> None:
    """The assumption said that two seeds show half a point, where the interval of one had four points."""
    techniques = [Technique(name=name, label=name, on=(f"s/{name}=x",), off=(f"s/{name}=none",)) for name in "pqr"]
    blueprint = plan_screening(techniques, False, lambda on: None, False, beside=False)
    made = study([arm(each.name, is_cell=True) for each in blueprint.arms], blueprint, kind="screening", seeds=1)
    write_all(made, files)
    runs = StudyRuns.read(made, files, {})
    found = estimate_sd(made, runs)
    assert found is not None and "interactions are in it" in found[1]
    effect = build_study_json(made, runs)["effects"][0]
    num, df = len(made.arms.ready), len(made.arms.ready) - 1 - 3
    half = (effect["interval"][1] - effect["interval"][0]) / 2
    assert found[0] * math.sqrt(2 / num) == pytest.approx(half / stats.t.ppf(0.975, df))


def test_the_plan_of_looks_at_any_time_has_the_cost_of_each_kind(files: StudyFiles) -> None:
    made = study(chain("a", "b", "c"), looks="anytime", smallest_effect=0.01)
    noise = StudyNoise(sd=0.01, source="known", num_test=0, num_all=0, noise=None, is_assumed=False)
    plan = build_power_table(made, StudyRuns.read(made, files, {}), noise)
    plan |= build_costs_of_looks(made, plan)
    assert plan["effect"] == 0.01 and [cost["kind"] for cost in plan["looks"]] == ["fixed", "planned", "anytime"]
    assert plan["detectable"]["6"] is None and plan["detectable"]["8"] > plan["detectable"]["12"]
    assert plan["seeds_needed"]["0.001"] is None and plan["seeds_needed"]["0.01"] == plan["looks"][2]["most"]


def test_a_failed_seed_is_passed_over_by_looks_at_any_time(files: StudyFiles) -> None:
    made = study(chain("a", "b"), looks="anytime", seeds=10)
    write_all(made, files, {"b": 2.0})
    place = files.directory / files.place(made.arms.ready[1], 1)
    (place / "result.json").write_text(json.dumps({"status": "failed", "reason": "diverged: the loss is nan"}))
    found = build_study_json(made, StudyRuns.read(made, StudyFiles(directory=files.directory), {}))
    assert found["looks"]["decided"] == {"b": 8} and found["arms"][1]["n"] == 7
