import pytest

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.length.standard import StandardTraining


def test_trains_for_its_epochs():
    assert StandardTraining(epochs=7).epochs == 7


@pytest.mark.parametrize("epochs", [0, -1])
def test_trains_at_least_once(epochs):
    with pytest.raises(InvalidValue, match="epochs"):
        StandardTraining(epochs=epochs)
