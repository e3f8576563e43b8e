import pytest

from sota_exp.config.fingerprint import compute_training_fingerprint
from sota_exp.config.split_of_seed import (
    check_split_is_open,
    describe_folds,
    get_scored_share,
    get_split_of_seed,
    list_split_overrides,
    with_split_of_seed,
)
from sota_exp.errors import ConfigError
from tests.experiments import composed

FOLDS = {"data": {"split": {"_option_": "cross_validation", "folds": 5, "repeats": 1, "repeat": 0, "fold": None}}}
REPEATED = {"data": {"split": {"_option_": "repeated", "repeat": 0}}}


@pytest.mark.parametrize(
    ("values", "seed", "found"),
    [
        (FOLDS, 0, {"repeat": 0, "fold": 0}),
        (FOLDS, 4, {"repeat": 0, "fold": 4}),
        (FOLDS, 12, {"repeat": 2, "fold": 2}),
        (REPEATED, 7, {"repeat": 7}),
        ({"data": {"split": {"_option_": "holdout"}}}, 7, {}),
        ({"data": {"name": "of an older version"}}, 7, {}),
    ],
)
def test_a_seed_is_a_fold_of_a_repeat(values, seed, found):
    assert get_split_of_seed(values, seed) == found
    assert list_split_overrides(values, seed) == [f"data.split.{key}={value}" for key, value in found.items()]


SEEDS = {
    "two repeats": (range(10), "Every image is tested once per repeat; repeats: 2."),
    "a later one": (range(15, 20), "Every image is tested once per repeat; repeats: 1."),
    "no multiple": (
        range(8),
        "These 8 seeds are no whole repeats: an image is tested 1 to 2 times; study.seeds=10 with seed=0",
    ),
    "three": ([0, 1, 2], "an image is tested 0 to 1 times; study.seeds=5 with seed=0"),
    "a multiple that begins within a repeat": (
        range(8, 13),
        "an image is tested 1 to 1 times; study.seeds=5 with seed=5",
    ),
}


@pytest.mark.parametrize("name", SEEDS)
def test_how_often_images_are_tested_is_told(name):
    seeds, words = SEEDS[name]
    (note,) = describe_folds(FOLDS, list(seeds), "study.seeds")
    assert "seed k tests fold k mod 5 of repeat k div 5, so pairs by seed share images." in note and words in note
    assert describe_folds(REPEATED, list(seeds), "study.seeds") == []


@pytest.mark.parametrize("word", ["data.split.fold=2", "data.split.repeat=1", "+data.split.fold=0"])
def test_one_split_for_all_seeds_is_refused(word):
    check_split_is_open(["data/split=cross_validation", "data.split.folds=3"], "study.seeds")
    with pytest.raises(ConfigError, match=r"the seed of a run chooses its split; study.seeds says which"):
        check_split_is_open(["data=fake", word], "study.seeds")


def test_holdout_leaves_fingerprints_and_repeats_change_none():
    def of(*words: str) -> str:
        return compute_training_fingerprint(composed("data=fake", *words).values, {})

    plain = composed("data=fake").values
    older = {**plain, "data": {key: value for key, value in plain["data"].items() if key != "split"}}
    assert compute_training_fingerprint(older, {}) == of()
    folds = ("data/split=cross_validation", "data.split.fold=0")
    assert of(*folds) == of(*folds, "data.split.repeats=3") != of(*folds, "data.split.folds=4")
    assert (
        len({of(), of("data/split=repeated"), of(*folds), of("data/split=cross_validation", "data.split.fold=1")}) == 4
    )
    configuration = composed("data=fake", "data/split=cross_validation")
    assert with_split_of_seed(configuration, 6).values["data"]["split"]["fold"] == 1
    assert configuration.values["data"]["split"]["fold"] is None


@pytest.mark.parametrize(
    ("split", "part", "expected"),
    [
        ({"folds": 5}, "test", (0.2, 0.2 / 0.72, 5)),
        ({"folds": 5}, "val", (0.08, 0.08 / 0.72, 1)),
        ({"folds": 20}, "val", (0.095, 0.1 / 0.9, 1)),
        ({"repeat": 3}, "test", (0.2, 0.2 / 0.72, 1)),
        ({"repeat": 3}, "val", (0.08, 0.1 / 0.9, 1)),
        ({}, "test", None),
    ],
)
def test_the_images_of_a_part_that_a_run_scores(split, part, expected) -> None:
    values = {"data": {"split": split, "val_fraction": 0.1, "test_fraction": 0.2}}
    found = get_scored_share(values, part)
    assert (found and (found.of_all, found.to_train, found.runs_per_repeat)) == (expected and pytest.approx(expected))
