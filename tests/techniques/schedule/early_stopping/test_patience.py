import pytest

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.early_stopping.patience import PatienceRule

NAN = float("nan")


@pytest.mark.parametrize(
    ("history", "patience", "min_delta", "stops"),
    [
        ([], 1, 0.0, False),
        ([0.5], 1, 0.0, False),
        ([0.5, 0.5], 1, 0.0, True),
        ([0.5, 0.4, 0.6], 1, 0.0, False),
        ([0.5, 0.4, 0.3], 2, 0.0, True),
        ([0.5, 0.4, 0.51, 0.5], 2, 0.0, False),
        ([0.5, 0.505, 0.508], 2, 0.01, True),
        ([0.5, 0.505, 0.511], 2, 0.01, False),
        ([0.5, NAN, NAN], 2, 0.0, True),
        ([NAN, NAN], 2, 0.0, True),
        ([NAN, 0.1], 2, 0.0, False),
    ],
)
def test_table(history, patience, min_delta, stops):
    assert PatienceRule(patience=patience, min_delta=min_delta)(history) is stops


def test_depends_on_the_history_alone_so_a_resumed_run_decides_alike():
    history, rule = [0.1, 0.3, 0.2, 0.2, 0.2], PatienceRule(patience=3, min_delta=0.0)
    assert [rule(history[: end + 1]) for end in range(5)] == [False, False, False, False, True]


@pytest.mark.parametrize(("field", "value"), [("patience", 0), ("min_delta", -0.1), ("min_delta", 1.0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        PatienceRule(**{"patience": 3, "min_delta": 0.0, field: value})
