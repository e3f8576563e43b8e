"""Studies whose seeds are folds: the interval over images is that of all images, each tested once per repeat."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from sota_exp.statistics.paired import bonett_price_interval
from sota_exp.statistics.two_sources import combine_folds
from sota_exp.statistics.what_next import Advice
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import PlannedStudy, StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.study.study_json_next import OpenQuestion
from sota_exp.study.study_json_power import estimate_study_noise, find_scored_share
from sota_exp.study.terminal import format_study_result
from sota_exp.study.terminal_plan import format_study_plan
from sota_exp.study.tested_images import read_correctness
from tests.study.studies import chain, result, study
from tests.study.test_terminal import printed

#: Images of the data set, and the fold of each in each repeat.
NUM, FOLDS = 59, 5


def fold_of(seed: int) -> np.ndarray:
    repeat, fold = divmod(seed, FOLDS)
    return np.flatnonzero(np.random.default_rng(repeat).permutation(NUM) % FOLDS == fold)


def right(name: str, seed: int) -> np.ndarray:
    """Whether an arm is right on each of all images, with this seed."""
    rng = np.random.default_rng([seed, *name.encode()])
    return rng.random(NUM) < np.where(np.arange(NUM) % 3 == 0, 0.3, 0.8) + 0.1 * (name == "b")


def write_folds(made: PlannedStudy, files: StudyFiles, tells_images: bool = True, has_groups: bool = False) -> None:
    """has_groups: images 2 i and 2 i + 1 vary together; folds cut them, which real ones don't."""
    for each in made.arms.ready:
        for seed in made.seeds:
            images = fold_of(seed)
            correct, place = right(each.name, seed)[images], files.directory / files.place(each, seed)
            place.mkdir(parents=True)
            arrays = {"test_correct": np.packbits(correct), "test_labels": images % 2}
            arrays |= {"test_images": images} if tells_images else {}
            np.savez(place / "predictions.npz", **arrays | ({"test_groups": images // 2} if has_groups else {}))
            digest = hashlib.sha256(images.tobytes()).hexdigest()
            independent = {"independent_images": {"test": 9.5}} if has_groups else {}
            found = result(correct, images % 2, image_digests={"test": digest}, **independent)
            (place / "result.json").write_text(json.dumps(found))


def built(tmp_path: Path, seeds: int, tells_images: bool = True) -> dict:
    made, files = study(chain("a", "b"), seeds=seeds), StudyFiles(directory=tmp_path)
    write_folds(made, files, tells_images)
    return build_study_json(made, StudyRuns.read(made, files, {}))


@pytest.mark.parametrize("repeats", [1, 3])
def test_whole_repeats_pool_every_image(tmp_path: Path, repeats: int) -> None:
    found = built(tmp_path, FOLDS * repeats)
    tested = {name: np.zeros((repeats, NUM)) for name in "ab"}
    for name in "ab":
        for seed in range(FOLDS * repeats):
            tested[name][seed // FOLDS, fold_of(seed)] = right(name, seed)[fold_of(seed)]
    expected = bonett_price_interval(tested["a"], tested["b"])
    row = found["arms"][1]["examples"]
    assert [row["difference"], *row["interval"]] == pytest.approx([expected.mean, expected.low, expected.high])
    gains = tested["b"].sum(axis=0) - tested["a"].sum(axis=0)
    assert (row["won"], row["lost"]) == ((gains > 0).sum(), (gains < 0).sum())
    assert found["num_test"] == NUM
    assert found["arms"][1]["n"] == FOLDS * repeats  # pairs by seed stay pairs
    text = " ".join(printed(format_study_result(found)).split())
    assert "Test images: 59 in all, about 12 a run; intervals over images are over all of them." in text


def test_images_of_a_group_count_together(tmp_path: Path) -> None:
    made, files = study(chain("a", "b"), seeds=FOLDS * 2), StudyFiles(directory=tmp_path)
    write_folds(made, files, has_groups=True)
    runs = StudyRuns.read(made, files, {})
    found = build_study_json(made, runs)
    images = [fold_of(seed) for seed in made.seeds]
    rows = [
        1.0 * right("b", seed)[each] - right("a", seed)[each] for seed, each in zip(made.seeds, images, strict=True)
    ]
    ends = combine_folds(rows, [each // 2 for each in images]).find_interval()
    row = found["arms"][1]
    assert row["new_images"]["interval"] == pytest.approx([ends.low, ends.high])
    own, other, groups = read_correctness(runs, made.compared[0], made.arms.ready[0], made.seeds)
    over_images = bonett_price_interval(other, own, groups=np.arange(NUM) // 2)
    assert groups.tolist() == (np.arange(NUM) // 2).tolist()
    assert row["examples"]["interval"] == pytest.approx([over_images.low, over_images.high])
    assert found["num_test"] == NUM and found["num_test_groups"] == 30
    assert "Test images: 59 in all, about 12 a run; intervals over images are over all of them; they are 30 groups" in (
        " ".join(printed(format_study_result(found)).split())
    )


def take_folds(made: PlannedStudy) -> None:
    for each in made.arms.ready:
        each.configuration.values["data"] |= {"split": {"folds": FOLDS, "repeat": 0}, "val_fraction": 0.1}


def test_what_next_counts_the_images_of_all_folds_and_advises_whole_repeats(tmp_path: Path) -> None:
    """A fold of 49 of 240 photographs was told as 245 of them."""
    made, files = study(chain("a", "b"), seeds=2 * FOLDS), StudyFiles(directory=tmp_path)
    take_folds(made)
    write_folds(made, files)
    runs = StudyRuns.read(made, files, {})
    noise = estimate_study_noise(made, runs)
    assert noise.count_images(find_scored_share(made)) == NUM == build_study_json(made, runs)["num_test"]
    question = OpenQuestion(name="b", label="B", advice=Advice(reason="seeds", effect=0.1, num_seeds=114), seconds=2.0)
    assert question.in_whole_repeats(FOLDS).to_json("")["seeds"] == 115


def test_the_plan_counts_the_images_of_all_folds(tmp_path: Path) -> None:
    made, files = study(chain("a", "b"), seeds=FOLDS), StudyFiles(directory=tmp_path)
    take_folds(made)
    text = " ".join(
        printed(
            format_study_plan(made, files, {"a": 61.0, "b": 61.0, "counts": {"train": 45, "val": 3, "test": 11}})
        ).split()
    )
    assert "Test images: 59 in all, about 11 a run" in text and "a fifth of 11 test images change sides" in text


def test_an_incomplete_repeat_pools_what_was_tested_and_counts_each_image_once(tmp_path: Path) -> None:
    found = built(tmp_path, 3)
    assert found["num_test"] == sum(len(fold_of(seed)) for seed in range(3)) == 36
    interval = found["arms"][1]["examples"]["interval"]
    one = built(tmp_path / "more", 8)
    assert one["num_test"] == NUM
    assert interval[1] - interval[0] > np.ptp(one["arms"][1]["examples"]["interval"])


def test_files_that_do_not_say_which_images_they_scored_are_not_pooled(tmp_path: Path) -> None:
    found = built(tmp_path, FOLDS, tells_images=False)
    assert found["arms"][1]["examples"] is None and found["num_test"] == 12
