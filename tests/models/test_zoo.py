import pickle

import pytest
import torch
import torchvision

from sota_exp.models import zoo
from sota_exp.models.small_nets import SmallResNet
from sota_exp.stages.stage import InvalidValue
from tests.models.test_weight_files import Attack


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet_xs", "SmallResNet"), ("resnet18", "ResNet"), ("convnext_atto", "ConvNeXt")]
)
def test_builds_ours_torchvisions_and_timms_by_name(name, kind):
    with torch.device("meta"):
        model = zoo.build_by_name(name, 7)
    assert type(model).__name__ == kind
    assert isinstance(model, SmallResNet) == (kind == "SmallResNet")


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(InvalidValue, match="near: .*resnet50"):
        zoo.build_by_name("resnt50", 7)


def test_published_weights_of_torchvision_run_no_code(tmp_path, monkeypatch):
    """Also where the file is already in the cache of the hub, whose hash is not checked."""
    weights = torchvision.models.get_model_weights("shufflenet_v2_x0_5").DEFAULT
    (tmp_path / "checkpoints").mkdir()
    torch.save(
        {"w": Attack(pytest.fail, "code of a weights file was run")},
        tmp_path / "checkpoints" / weights.url.rpartition("/")[2],
    )
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    zoo.load_torchvision_weights.cache_clear()
    with pytest.raises(pickle.UnpicklingError):
        zoo.load_torchvision_weights("shufflenet_v2_x0_5", "")
