"""Groups, differences and their intervals, against the statistics functions and values computed by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sota_exp.report.comparison.compare_runs import RunComparison, compare_runs
from sota_exp.report.comparison.groups import SeedGroup, group_runs, name_groups
from sota_exp.report.comparison.page import collect_values
from sota_exp.report.document.write import render_markdown
from sota_exp.runs.find import SavedRun
from sota_exp.statistics.paired import bonett_price_interval, mcnemar_test, paired_t_interval
from sota_exp.statistics.proportion import wilson_interval
from sota_exp.statistics.two_sources import combine_crossed
from tests.finished_runs import make, right

MIXUP = {"augmentation/mix": "mixup"}


def runs(*directories: Path) -> list[SavedRun]:
    return [SavedRun.read(directory) for directory in directories]


@pytest.fixture
def grid(tmp_path: Path) -> RunComparison:
    """Two arms, three seeds each; the second arm has 1, 2 and 3 more of 40 images correct."""
    plain = [make(tmp_path / f"plain{seed}", seed, correct=right(28 + seed)) for seed in range(3)]
    mixed = [
        make(tmp_path / f"mixed{seed}", seed, {"augmentation.mix.alpha": 0.2}, MIXUP, right(29 + 2 * seed))
        for seed in range(3)
    ]
    return compare_runs(runs(*mixed[::-1], *plain))


def test_seeds_of_one_configuration_are_one_group_in_the_order_of_seeds(grid: RunComparison) -> None:
    assert [(group.name, group.seeds) for group in grid.groups] == [("A", [0, 1, 2]), ("B", [0, 1, 2])]
    assert grid.choices == {"augmentation/mix": ["mixup", None]}


def test_a_second_run_of_a_seed_begins_another_group_and_a_run_given_twice_is_one(tmp_path: Path) -> None:
    found = [make(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1), ("d", 0), ("e", 1))]
    groups = compare_runs(runs(*found, *found)).groups
    named = [(group.seeds, [run.directory.name for run in group.runs]) for group in groups]
    assert named == [([0, 1], ["a", "c"]), ([0, 1], ["b", "e"]), ([0], ["d"])]


def test_grouping_looks_at_each_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not each run at all others: a thousand took 45 s."""
    found, looks, resolve = runs(*(make(tmp_path / str(seed), seed) for seed in range(30))), [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path, strict=False: [looks.append(path), resolve(path, strict)][1])
    assert len(group_runs(found, each=False)) == 1 and len(looks) == 30
    assert [group.name for group in group_runs(found, each=True)][24:28] == ["Y", "Z", "AA", "AB"]


def test_a_value_that_only_one_has_is_told_by_its_choice(grid: RunComparison) -> None:
    assert grid.values == {}


def test_means_and_spreads_over_seeds(grid: RunComparison) -> None:
    mixed, plain = grid.metrics["test/accuracy"]
    assert mixed is not None and plain is not None
    assert mixed.mean == pytest.approx(31 / 40) and mixed.sd == pytest.approx(2 / 40)
    assert plain.mean == pytest.approx(29 / 40) and plain.sd == pytest.approx(1 / 40)
    assert (plain.n, plain.interval) == (3, None)
    assert grid.best["test/accuracy"] == {0} and grid.best["val/accuracy"] == set()


def test_differences_are_paired_by_image_and_by_seed(grid: RunComparison) -> None:
    (pair,) = grid.pairs
    mixed, plain = ([np.array(right(base + step * seed)) for seed in range(3)] for base, step in ((29, 2), (28, 1)))
    assert (pair.first, pair.second, pair.common_seeds) == ("A", "B", (0, 1, 2))
    assert pair.images == bonett_price_interval(mixed, plain)
    assert pair.seeds == paired_t_interval([each.mean() for each in mixed], [each.mean() for each in plain])
    assert pair.seeds is not None and pair.seeds.mean == pytest.approx(-2 / 40)
    assert pair.mcnemar is None and pair.remark == "paired over 3 seeds"


def test_seeds_that_differ_alike_have_no_interval(tmp_path: Path) -> None:
    one = [make(tmp_path / f"a{seed}", seed, correct=right(28 + seed)) for seed in range(2)]
    other = [make(tmp_path / f"b{seed}", seed, choices=MIXUP, correct=right(29 + seed)) for seed in range(2)]
    found = compare_runs(runs(*one, *other))
    (pair,) = found.pairs
    assert pair.seeds is None and pair.images is not None and pair.images.low < 0 < pair.images.high
    assert pair.remark == "the same difference at 2 seeds, so the noise of seeds is unknown: test-set noise only"
    page = render_markdown("comparison/comparison.md.jinja", **collect_values(found)).text
    assert ": +2.50 points of test accuracy, 95 % interval over test images alone −" in page


def test_groups_of_other_seeds_in_other_numbers_are_compared(tmp_path: Path) -> None:
    one = [make(tmp_path / f"a{seed}", seed, correct=right(28 + seed)) for seed in range(2)]
    eight = {"batch_size": 8}
    other = [make(tmp_path / f"b{seed}", seed, eight, MIXUP, right(20 + seed)) for seed in (5, 6, 7)]
    (pair,) = compare_runs(runs(*one, *other)).pairs
    assert pair.seeds is None and pair.remark.startswith("test-set noise only: no common seed")


def test_one_run_each_is_tested_by_mcnemar(tmp_path: Path) -> None:
    found = compare_runs(runs(make(tmp_path / "a"), make(tmp_path / "b", choices=MIXUP, correct=right(35))))
    (pair,) = found.pairs
    assert pair.mcnemar == mcnemar_test(right(28), right(35)) and pair.mcnemar.won == 7
    assert pair.seeds is None and pair.remark == "test-set noise only: one seed"
    cells = found.metrics["test/accuracy"]
    assert cells[0] is not None and cells[0].interval == wilson_interval(0.7, 40)


@pytest.mark.parametrize("seeds", [1, 3])
def test_images_of_a_group_count_together(tmp_path: Path, seeds: int) -> None:
    groups = np.arange(40) // 4
    made = [
        make(tmp_path / f"{name}{seed}", seed, choices=choices, correct=right(28 + extra * (1 + seed)))
        for name, choices, extra in (("a", None, 0), ("b", MIXUP, 2))
        for seed in range(seeds)
    ]
    for place in made:
        with np.load(place / "predictions.npz") as arrays:
            found = dict(arrays)
        np.savez(place / "predictions.npz", **found, test_groups=groups)
        told = json.loads((place / "result.json").read_text()) | {"independent_images": {"test": 11.0}}
        (place / "result.json").write_text(json.dumps(told))
    compared = compare_runs(runs(*made))
    (pair,) = compared.pairs
    before, after = (np.array([right(28 + extra * (1 + seed)) for seed in range(seeds)], float) for extra in (0, 2))
    assert pair.images == bonett_price_interval(before, after, groups=groups)
    assert pair.images != bonett_price_interval(before, after)
    assert "; 10 groups of images" in pair.remark
    if seeds == 1:
        assert compared.metrics["test/accuracy"][0].interval == wilson_interval(28 / 40, 11)
        assert pair.mcnemar == mcnemar_test(before[0], after[0], groups) and pair.mcnemar.won == 1  # of two images
    else:
        assert pair.both == combine_crossed(after - before, groups=groups).find_interval(largest=1.0)


@pytest.mark.parametrize(
    ("seeds", "remark"),
    [
        ((0, 1), "test-set noise only: no common seed, so the draw of the seed is in the difference"),
        ((1, 0), "test-set noise only: no common seed, so the draw of the seed is in the difference"),
    ],
)
def test_without_a_common_seed_the_pairing_says_so(tmp_path: Path, seeds: tuple[int, int], remark: str) -> None:
    one, other = make(tmp_path / "a", seeds[0]), make(tmp_path / "b", seeds[1], choices=MIXUP, values={"batch_size": 8})
    (pair,) = compare_runs(runs(one, other)).pairs
    assert (pair.common_seeds, pair.remark) == ((), remark)


def test_each_leaves_seeds_apart_and_shows_them(tmp_path: Path) -> None:
    found = compare_runs(runs(make(tmp_path / "a", 0), make(tmp_path / "b", 1)), each=True)
    assert [group.seeds for group in found.groups] == [[0], [1]]
    assert found.values == {"seed": [0, 1]}


def test_the_same_run_twice_is_there_once(tmp_path: Path) -> None:
    directory = make(tmp_path / "a")
    assert len(compare_runs(runs(directory, directory)).groups[0].runs) == 1


def test_the_same_seed_again_begins_another_group(tmp_path: Path) -> None:
    found = compare_runs(runs(make(tmp_path / "a"), make(tmp_path / "b")))
    assert [len(group.runs) for group in found.groups] == [1, 1]
    assert found.choices == found.values == {}


def test_what_changes_no_number_separates_nothing(tmp_path: Path) -> None:
    elsewhere = {"tracking.experiment": "other", "data.root": "there", "data.cache": "here"}
    found = compare_runs(runs(make(tmp_path / "a", 0), make(tmp_path / "b", 1, elsewhere, {"tracking": "none"})))
    assert [group.seeds for group in found.groups] == [[0, 1]]


def test_values_and_presets_are_shown_once(tmp_path: Path) -> None:
    changed = {"optimizer.lr": 0.1, "recipe.name": "torchvision", "augmentation.crop.scale": [0.3, 1.0]}
    choices = {"recipe": "torchvision", "augmentation": "torchvision"}
    found = compare_runs(runs(make(tmp_path / "a"), make(tmp_path / "b", values=changed, choices=choices)))
    assert found.choices == {"recipe": ["baseline", "torchvision"]}
    assert found.values == {"optimizer.lr": [0.01, 0.1], "augmentation.crop.scale": [[0.08, 1.0], [0.3, 1.0]]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "e" * 64}, "other test images"),
        ({"values": {"data.name": "real"}}, "other images (real and fake)"),
    ],
)
def test_scores_on_other_images_are_not_compared(tmp_path: Path, changes: dict, reason: str) -> None:
    found = compare_runs(runs(make(tmp_path / "a"), make(tmp_path / "b", correct=right(40), **changes)))
    assert found.notes == [f"B and A: accuracies are not comparable: {reason}"]
    assert found.best["test/accuracy"] == set()
    (pair,) = found.pairs
    assert pair.images is None and pair.remark == "not comparable: other test images"


ONE: dict[str, Any] = {"image_digests": {"test": "1"}}
TWO: dict[str, Any] = {"image_digests": {"test": "2"}}
EVALUATION = {"weights": "a/model.safetensors"}
OLD_EVALUATION = "an evaluation of an older version does not say which test images it scored: evaluate again"


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (ONE, TWO, "other test images"),
        (ONE, ONE, None),
        (ONE, ONE | {"digest": "e" * 64}, None),
        (ONE | EVALUATION, TWO | EVALUATION, "other test images"),
        (ONE | EVALUATION, ONE, None),
        (EVALUATION, EVALUATION, OLD_EVALUATION),
        (ONE, EVALUATION, OLD_EVALUATION),
        # Runs of older versions: what is known of their data.
        ({}, {}, None),
        ({}, ONE, None),
        ({}, {"values": {"data.split_seed": 9}}, "other test images"),
        ({}, ONE | {"values": {"data.test_fraction": 0.3}}, "other test images"),
        ({}, {"values": {"scale.eval_images": 40}}, "other test images"),
    ],
)
def test_runs_are_paired_by_image_only_if_both_scored_the_same_images(
    tmp_path: Path, one: dict, other: dict, reason: str | None
) -> None:
    found = compare_runs(runs(make(tmp_path / "a", **one), make(tmp_path / "b", correct=right(40), **other)))
    (pair,) = found.pairs
    assert (pair.images is None) == (pair.mcnemar is None) == (found.best["test/accuracy"] == set()) == bool(reason)
    assert (pair.remark == f"not comparable: {reason}") == bool(reason)


def test_evaluations_of_other_images_are_no_group(tmp_path: Path) -> None:
    made = [make(tmp_path / str(seed), seed, image_digests={"test": str(seed % 2)}, **EVALUATION) for seed in range(4)]
    assert [group.seeds for group in compare_runs(runs(*made)).groups] == [[0, 2], [1, 3]]


def test_every_run_of_both_groups_must_have_scored_the_same_images(tmp_path: Path) -> None:
    made = [make(tmp_path / f"a{seed}", seed, image_digests={"test": "1"}) for seed in range(2)]
    made += [make(tmp_path / f"b{seed}", seed, choices=MIXUP, image_digests={"test": "12"[seed]}) for seed in range(2)]
    (pair,) = compare_runs(runs(*made)).pairs
    assert pair.images is None and pair.remark == "not comparable: other test images"


def make_fold(place: Path, seed: int, choices: dict | None, wins: int, tells_images: bool = True) -> Path:
    """Fold `seed` of three of 120 images."""
    numbers = {"folds": 3, "repeats": 1, "repeat": 0, "fold": seed}
    values = {f"data.split.{key}": value for key, value in numbers.items()} | {
        "data.split._option_": "cross_validation",
        "data.val_fraction": 0.1,
    }
    made = make(place, seed, values, choices, right(20 + wins + seed), image_digests={"test": f"fold {seed}"})
    with np.load(made / "predictions.npz") as arrays:
        found = dict(arrays)
    if tells_images:
        found["test_images"] = np.arange(40) * 3 + seed
    np.savez(made / "predictions.npz", **found)
    return made


def test_folds_are_a_group_whose_images_are_pooled(tmp_path: Path) -> None:
    made = [make_fold(tmp_path / f"a{seed}", seed, None, 0) for seed in range(3)]
    made += [make_fold(tmp_path / f"b{seed}", seed, MIXUP, 4 + seed) for seed in range(3)]
    found = compare_runs(runs(*made))
    assert [group.seeds for group in found.groups] == [[0, 1, 2], [0, 1, 2]] and found.values == {}
    (pair,) = found.pairs
    before, after = (np.concatenate([right(20 + wins * (4 + seed) + seed) for seed in range(3)]) for wins in (0, 1))
    assert pair.images == bonett_price_interval(before, after) and pair.images.n == 120
    assert pair.seeds is not None and pair.seeds.mean == pytest.approx(5 / 40) and pair.remark == "paired over 3 seeds"


def test_folds_that_do_not_say_which_images_they_scored_are_not_compared(tmp_path: Path) -> None:
    made = [make_fold(tmp_path / f"a{seed}", seed, None, 0, tells_images=False) for seed in range(3)]
    made += [make_fold(tmp_path / f"b{seed}", seed, MIXUP, 4, tells_images=False) for seed in range(3)]
    (pair,) = compare_runs(runs(*made)).pairs
    assert pair.images is None and pair.remark == "not comparable: other test images"


def test_a_run_that_did_not_finish_is_a_column_with_a_note(tmp_path: Path) -> None:
    found = compare_runs(
        runs(make(tmp_path / "a"), make(tmp_path / "b", status="failed"), make(tmp_path / "c", status=None))
    )
    assert [cell is None for cell in found.metrics["test/accuracy"]] == [False, True, True]
    assert [cell is None for cell in found.costs["parameters"]] == [False, True, True]
    assert found.pairs == []
    assert [note.rpartition("/")[2] for note in found.notes] == [
        "b is failed: diverged: the loss is nan",
        "c is running",
    ]


def test_an_evaluation_is_no_training(tmp_path: Path) -> None:
    found = compare_runs(runs(make(tmp_path / "a", 0), make(tmp_path / "b", 1, weights="a/model.safetensors")))
    assert len(found.groups) == 2
    assert found.notes[-1].endswith("b is an evaluation of a/model.safetensors")


@pytest.mark.parametrize(("num", "expected"), [(2, ["AB"]), (3, ["AB", "AC", "BC"]), (4, ["AB", "AC", "AD"])])
def test_which_pairs_are_shown(tmp_path: Path, num: int, expected: list[str]) -> None:
    made = [make(tmp_path / str(index), values={"batch_size": 8 + index}) for index in range(num)]
    assert [pair.first + pair.second for pair in compare_runs(runs(*made)).pairs] == expected


def test_surroundings_that_differ_are_said(tmp_path: Path) -> None:
    one = make(tmp_path / "a", device="cpu: AMD, 1 thread")
    other = make(tmp_path / "b", device="cpu: AMD, 4 threads", versions={"torch": "2.13.0"})
    assert compare_runs(runs(one, other)).environment == {"threads": ["1", "4"], "torch": ["2.14.0", "2.13.0"]}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0.06824078427098834, 0.8], ["lr=0.06824", "lr=0.8"]),
        ([0.12345671, 0.12345678], ["lr=0.12345671", "lr=0.12345678"]),
    ],
)
def test_the_names_of_groups_have_as_many_digits_as_tell_them_apart(values: list[float], names: list[str]) -> None:
    groups = [SeedGroup(name=letter, runs=()) for letter in "AB"]
    assert [group.name for group in name_groups(groups, {}, {"optimizer.lr": values})] == names
