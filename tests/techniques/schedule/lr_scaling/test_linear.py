import pytest

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.lr_scaling.linear import LinearLrScaling


@pytest.mark.parametrize(("batch_size", "factor"), [(256, 1.0), (1024, 4.0), (64, 0.25)])
def test_is_proportional(batch_size, factor):
    assert LinearLrScaling(base_batch_size=256)(batch_size) == factor


def test_gives_the_published_learning_rate():
    assert 0.125 * LinearLrScaling(base_batch_size=256)(1024) == 0.5


def test_illegal_values_are_named():
    with pytest.raises(InvalidValue, match="base_batch_size=0"):
        LinearLrScaling(base_batch_size=0)
