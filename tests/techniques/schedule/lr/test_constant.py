import pytest

from sota_exp.techniques.schedule.lr.constant import ConstantLr


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_is_one_everywhere(progress):
    assert ConstantLr()(progress) == 1.0
