import pytest

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.lr_scaling.square_root import SquareRootLrScaling


@pytest.mark.parametrize(("batch_size", "factor"), [(256, 1.0), (1024, 2.0), (64, 0.5)])
def test_is_the_root_of_the_ratio(batch_size, factor):
    assert SquareRootLrScaling(base_batch_size=256)(batch_size) == factor


def test_illegal_values_are_named():
    with pytest.raises(InvalidValue, match="base_batch_size=0"):
        SquareRootLrScaling(base_batch_size=0)
