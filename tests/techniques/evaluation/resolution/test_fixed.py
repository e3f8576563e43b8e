"""Fixed size: the default view is the only one."""

import pytest
import torch

from sota_exp.stages.evaluation import EvaluationView
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.evaluation.resolution.fixed import FixedResolution


def test_the_view_is_the_size_and_its_resize() -> None:
    stage = FixedResolution(size=224, crop_ratio=224 / 232)
    assert stage.views() == [EvaluationView(resize=232, size=224)]
    assert stage.choose(torch.ones(1, 3, dtype=torch.bool), torch.zeros(3)).index == 0


@pytest.mark.parametrize(("field", "value"), [("size", 7), ("crop_ratio", 1.5)])
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidValue, match=field):
        FixedResolution(**{"size": 48, "crop_ratio": 1.0, field: value})  # type: ignore[arg-type]
