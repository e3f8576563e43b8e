import pytest

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.train_size.fixres import FixRes


@pytest.mark.parametrize("image_size, expected", [(224, 176), (56, 44), (32, 25), (8, 6), (288, 226)])
def test_training_is_smaller_by_the_papers_ratio(image_size, expected):
    assert FixRes(ratio=1.2727)(image_size) == expected


def test_a_ratio_of_one_changes_nothing():
    assert [FixRes(ratio=1.0)(size) for size in range(8, 225)] == list(range(8, 225))


@pytest.mark.parametrize("ratio", [0.9, 0.0, -1.0, 2.1])
def test_ratios_that_train_larger_or_absurdly_small_are_refused(ratio):
    with pytest.raises(InvalidValue, match="ratio"):
        FixRes(ratio=ratio)
