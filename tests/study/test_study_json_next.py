"""What next: what nothing was learned from first, then the seeds and images that open questions take, and how to go on."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sota_exp.report.study.page import write_study_report
from sota_exp.statistics.power import find_num_seeds
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import StudyDesign
from sota_exp.study.results import PlannedStudy, StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.study.terminal import format_study_result
from tests.study.studies import arm, chain, simulated, study, write_all, write_run
from tests.study.test_terminal import printed

LABELS = np.arange(400) % 2


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(directory=tmp_path)


def built(made: PlannedStudy, files: StudyFiles) -> dict[str, Any]:
    return build_study_json(made, StudyRuns.read(made, files, {}))


def test_a_study_at_chance_level_is_told_to_learn_something_first(files: StudyFiles) -> None:
    made = study(chain("a", "b"), seeds=6)
    for each, seed in itertools.product(made.arms.ready, made.seeds):
        correct = np.random.default_rng([seed, *each.name.encode()]).random(400) < 0.5
        write_run(files.directory / files.place(each, seed), correct, LABELS)
    found = built(made, files)["next"]
    assert found["lines"][0].startswith("At this length no training learned anything") and not found["open"]


def test_arms_that_differ_in_nothing_come_before_those_that_lack_seeds(files: StudyFiles) -> None:
    made = study([arm("a"), arm("b", "a"), arm("same", "a"), arm("twin", "a"), arm("equal", "a")], seeds=6)
    write_all(made, files)
    for each, seed in itertools.product(made.arms.ready[2:], made.seeds):
        correct, labels = simulated("a", seed)
        if each.name == "equal":  # Two more images are right at every seed.
            correct[np.flatnonzero(~correct)[:2]] = True
        write_run(files.directory / files.place(each, seed), correct, labels)
    found = built(made, files)["next"]
    assert found["lines"][0].startswith("Same, Twin: It is right on the same of the 400 test images as its reference")
    assert found["lines"][1].startswith("Equal: The difference is the same at every seed, so its noise is unknown")
    assert [each["reason"] for each in found["open"][:3]] == ["same", "same", "equal"]
    assert {each["name"]: each["reason"] for each in found["open"]}["b"] in ("seeds", "far", "images")


def test_an_open_arm_names_the_seeds_that_would_show_it_and_their_time(files: StudyFiles) -> None:
    made = study(chain("a", "b"), seeds=6)
    write_all(made, files)
    found = built(made, files)
    (question,) = found["next"]["open"]
    differences = np.subtract(*(list(row["values"].values()) for row in found["arms"][::-1]))
    assert question["name"] == "b" and question["effect"] == pytest.approx(abs(differences.mean()))
    if question["reason"] == "seeds":
        seconds = np.mean([sum(row["cost"]["seconds"] for row in found["arms"])])
        assert question["seconds"] == pytest.approx(question["seeds"] * seconds)
        assert question["seeds"] >= (find_num_seeds(question["effect"], float(differences.std(ddof=1)), 1) or 0)


def test_where_the_images_lack_no_number_of_seeds_is_promised(files: StudyFiles) -> None:
    """An arm that is right on other images, at every seed nearly the same: new images would change the difference."""
    made = study(chain("a", "b"), seeds=8)
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 40)) < 0.7
    for each, right in zip(made.arms.ready, (one, other), strict=True):
        for seed in made.seeds:
            correct = right ^ (np.random.default_rng([seed, *each.name.encode()]).random(40) < 0.02)
            write_run(files.directory / files.place(each, seed), correct, LABELS[:40])
    found = built(made, files)
    questions = found["next"]["open"]
    if found["arms"][1]["verdict"] == "cannot be distinguished":
        assert questions[0]["reason"] in ("images", "none") and (questions[0]["images"] or 41) > 40
        assert "data/split=cross_validation tests all images" in " ".join(found["next"]["lines"])


@pytest.mark.parametrize("seeds", [2, 5])
def test_too_few_seeds_are_told_with_how_many_it_takes(files: StudyFiles, seeds: int) -> None:
    made = study(chain("a", "b"), seeds=seeds, smallest_effect=0.02)
    write_all(made, files)
    (question,) = built(made, files)["next"]["open"]
    assert question["reason"] == "seeds" and question["effect"] == 0.02 and question["seeds"] >= 6


def test_fixed_looks_advise_a_new_study_and_looks_at_any_time_go_on(files: StudyFiles) -> None:
    fixed, anytime = (study(chain("a", "b"), seeds=6, looks=looks, smallest_effect=0.02) for looks in (None, "anytime"))
    write_all(fixed, files)
    lines = built(fixed, files)["next"]["lines"]
    assert "make wrong ones more frequent" in lines[-1] and "(seed=6 study.seeds=" in lines[-1]
    assert "study.looks=anytime" in lines[-1] and "at most 10 %" in lines[-1]
    found = built(anytime, files)
    (question,) = found["next"]["open"]
    further = found["arms"][1]["further_seeds"]
    if further is None:
        assert question["reason"] == "far"
    else:
        assert question["seeds"] == 6 + further and "half of the time" in question["words"]
        assert found["next"]["lines"][-1].startswith(f"study.seeds={6 + further} goes on")


def test_missing_runs_come_first_and_a_decided_study_has_nothing_open(files: StudyFiles) -> None:
    made = study(chain("a", "b"), seeds=8)
    assert built(made, files)["next"]["lines"][0] == "16 runs missing: the same command goes on."
    write_all(made, files, {"b": 3.0})
    assert built(made, files)["next"] == {"lines": ["Nothing is open: every comparison has its verdict."], "open": []}


def test_an_open_effect_of_a_design_names_seeds_per_cell(files: StudyFiles) -> None:
    arms = [arm(f"cell_{num}", is_cell=True) for num in range(1, 5)]
    design = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    blueprint = StudyDesign(arms=tuple(each.arm for each in arms), factors={"x": "X", "y": "Y"}, design=design)
    made = study(arms, blueprint, kind="screening", seeds=3, smallest_effect=0.05)
    write_all(made, files)
    found = built(made, files)
    for question in found["next"]["open"]:
        sd, num = found["plan"]["sd_assumed"], question["seeds"]
        shown = [made.find_detectable_main_effect(sd, each) for each in (num, num - 1)]
        assert (shown[0] or 1) <= 0.05 < (shown[1] or 1)


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_and_page_end_with_it(files: StudyFiles, width: int) -> None:
    made = study(chain("a", "b"), seeds=6)
    write_all(made, files)
    found = built(made, files)
    text = printed(format_study_result(found), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.index("What next") > text.index("verdict") and found["next"]["lines"][0][:40] in text
    files.write(found)
    write_study_report(files.directory)
    page = (files.directory / "report.md").read_text()
    assert "## What next" in page and "study.looks=anytime, whose verdicts hold whenever you look" in page


def test_an_arm_shown_here_takes_the_seeds_of_its_interval_under_looks_at_any_time(files: StudyFiles) -> None:
    """Its evidence was enough, so no further seeds were known, and "no practical number" was said."""
    made = study(chain("a", "b"), looks="anytime", seeds=10)
    write_all(made, files, {"b": 0.2})
    found = built(made, files)
    assert found["arms"][1]["verdict"] == "helps here"
    (question,) = found["next"]["open"]
    assert question["reason"] == "seeds" and 10 < question["seeds"] < 100
    assert "half of the time" in question["words"]


@pytest.mark.parametrize("kind", ["pairs", "screening"])
def test_what_is_shown_here_alone_lacks_images_not_seeds(files: StudyFiles, kind: str) -> None:
    """The same images change at every seed: fewer seeds than there are were said to show what they had shown."""
    names = ("baseline", "a", "b", "a+b")
    arms = [arm(name, None if kind == "screening" or name == "baseline" else "baseline") for name in names]
    planned = tuple(replace(each.arm, is_cell=kind == "screening") for each in arms)
    arms = [replace(each, arm=one) for each, one in zip(arms, planned, strict=True)]
    cells = {"factors": {"x": "X", "y": "Y"}, "design": np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])}
    more = {"pairs": (("a", "b"),)} if kind == "pairs" else cells
    made = study(arms, StudyDesign(arms=planned, **more), kind=kind, seeds=8)
    for each, seed in itertools.product(made.arms.ready, made.seeds):
        correct = np.arange(400) % 4 > 0
        if each.name in ("a+b", "a" if kind == "screening" else ""):
            correct[: 4 * 9 : 4], correct[1 : 4 * 3 : 4] = True, False
        correct[201 + 4 * np.flatnonzero(np.random.default_rng([seed, *each.name.encode()]).random(40) < 0.04)] = False
        write_run(files.directory / files.place(each, seed), correct, LABELS)
    found = built(made, files)
    entry = found["interactions" if kind == "pairs" else "effects"][0]
    assert entry["verdict"] == "helps here"
    (question,) = [each for each in found["next"]["open"] if each["name"] in ("a × b", "x")]
    assert question["reason"] == "images" and question["images"] > 400
