import numpy as np
import pytest
import torch

from sota_exp.data.split.folds import find_groups
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import InvalidValue
from tests.data.split.splitting import opened, write_table


def fold(number, repeat=0, folds=5):
    return {"_option_": "cross_validation", "folds": folds, "repeats": 1, "repeat": repeat, "fold": number}


@pytest.mark.parametrize("gigabytes", [50.0, 0.0])
def test_every_image_is_tested_once_per_repeat_and_chosen_on_by_others(tmp_path, gigabytes):
    write_table(tmp_path)
    for repeat in range(2):
        found = [opened(tmp_path, fold(number, repeat), store_gigabytes=gigabytes) for number in range(5)]
        assert sorted(np.concatenate([data.test for data in found]).tolist()) == list(range(40))
        for data in found:
            parts = [set(part.tolist()) for part in (data.train, data.val, data.test)]
            assert set.union(*parts) == set(range(40)) and sum(map(len, parts)) == 40
            assert np.bincount(data.labels[data.test]).tolist() == [4, 4]
            assert len(data.val) == 3  # a tenth of the 32 images that are not tested
    first, second = (set(opened(tmp_path, fold(0, repeat)).test.tolist()) for repeat in range(2))
    assert first != second


def test_no_fold_is_shown_as_the_first(tmp_path):
    write_table(tmp_path)
    assert opened(tmp_path, fold(None)).test.tolist() == opened(tmp_path, fold(0)).test.tolist()


def test_groups_and_copies_of_a_file_are_never_cut(tmp_path):
    groups = [f"animal {index % 40 // 4}" for index in range(60)]
    groups[59] = ""  # an image without a group is alone
    write_table(tmp_path, 60, groups=groups, copies={58: 59})
    names = np.array([*groups[:58], groups[58], groups[58]])  # and this one belongs to its copy
    tested = []
    for number in range(4):
        data = opened(tmp_path, fold(number, folds=4), val_fraction=0.25)
        for name in set(names):
            own = set(np.flatnonzero(names == name).tolist())
            assert any(own <= set(part.tolist()) for part in (data.train, data.val, data.test)), (number, name)
        tested += data.test.tolist()
        assert 4 <= len(data.val) <= 20
    assert sorted(tested) == list(range(60))


def test_groups_that_a_holdout_cuts_are_told_and_known_as_such(tmp_path, caplog):
    write_table(tmp_path, groups=[str(index // 4) for index in range(40)], copies={39: 0})
    data = opened(tmp_path, {"_option_": "holdout"})
    cut = set((data.train // 4).tolist()) & set((torch.cat([data.val, data.test]) // 4).tolist())
    assert f"{len(cut)} groups have images in train and in val or test" in caplog.text
    found = find_groups(data, "all")
    assert found.tolist() == [0 if index >= 36 else index // 4 * 4 for index in range(40)]  # a copy binds its group
    caplog.clear()
    opened(tmp_path, fold(0))
    assert "groups have images" not in caplog.text


def test_images_without_groups_or_copies_are_their_own(tmp_path):
    write_table(tmp_path)
    assert find_groups(opened(tmp_path, {"_option_": "holdout"}), "test") is None


def test_images_that_the_files_call_test_are_pooled_and_that_is_told(tmp_path, caplog):
    write_table(tmp_path)
    rows = (tmp_path / "table.csv").read_text().splitlines()
    marked = [
        f"{rows[0]},split",
        *(f"{row},{'test' if number < 8 else 'train'}" for number, row in enumerate(rows[1:])),
    ]
    (tmp_path / "table.csv").write_text("\n".join(marked))
    tested = [index for number in range(5) for index in opened(tmp_path, fold(number)).test.tolist()]
    assert sorted(tested) == list(range(40))
    assert (
        "of the 8 images of the set's own val and test are in other parts now; data/split=holdout keeps them"
        in caplog.text
    )


WRONG = {
    "as many folds as numbers": (
        {"fold": 5},
        "data.split.fold=5 is not legal: a number from 0, below data.split.folds=5, or null",
    ),
    "a negative fold": ({"fold": -1}, "data.split.fold=-1"),
    "one fold": ({"folds": 1}, "data.split.folds=1 is not legal: a count of at least 2"),
    "no repeat": ({"repeats": 0}, "data.split.repeats=0"),
    "a repeat of every fold": ({"repeat": 1}, "data.split.repeat=1 is not legal: a number from 0; 0 for every fold"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_named(name, tmp_path):
    write_table(tmp_path)
    changes, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path, fold(None) | changes)


def test_choices_need_a_val_part_and_every_class_images_to_train_on(tmp_path):
    write_table(tmp_path)
    with pytest.raises(InvalidValue, match="val_fraction=null is not legal: a fraction here"):
        opened(tmp_path, fold(0), val_fraction=None)
    write_table(tmp_path, groups=["x", "y"] * 20)  # a group is a whole class
    with pytest.raises(ConfigError, match=r"data.split: class number \d has 20 images and none to train on"):
        opened(tmp_path, fold(0, folds=2))
