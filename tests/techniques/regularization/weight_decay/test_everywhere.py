import torchvision

from sota_exp.techniques.regularization.weight_decay.everywhere import WeightDecayEverywhere


def test_every_trainable_parameter_decays_once():
    model = torchvision.models.resnet18(num_classes=5)
    model.conv1.weight.requires_grad_(False)
    (group,) = WeightDecayEverywhere()(model, 1e-4)
    assert group["weight_decay"] == 1e-4
    expected = [id(p) for name, p in model.named_parameters() if name != "conv1.weight"]
    assert [id(p) for p in group["params"]] == expected
