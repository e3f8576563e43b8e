"""Training and evaluation resize images with the interpolation of the pretrained weights."""

import pytest
import torch

from sota_exp.data.resize import center_crop
from sota_exp.stages.data import INTERPOLATIONS, Preprocessing
from sota_exp.stages.model import PublishedWeights
from sota_exp.techniques.model.arch.small import SmallNetwork
from tests.experiments import OFF, TINY, composed, session_of


@pytest.fixture
def bicubic_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published weights of a small network that need bicubic resizing."""
    preprocessing = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")

    def load_published(self: SmallNetwork, tag: str) -> PublishedWeights:
        return PublishedWeights(state=self(10).state_dict(), preprocessing=preprocessing, content_hash="some")

    monkeypatch.setattr(SmallNetwork, "load_published", load_published)


@pytest.mark.parametrize(
    ("overrides", "meant"),
    [
        ((), "bilinear"),
        (("model/weights=pretrained",), "bicubic"),
        (("model/weights=pretrained", "data.interpolation=bilinear"), "bilinear"),
        (("data.interpolation=bicubic",), "bicubic"),
    ],
)
def test_every_image_is_resized_as_the_weights_were_published(
    overrides: tuple[str, ...], meant: str, bicubic_weights: None
) -> None:
    size = ["data.image_size=12", "data.crop_ratio=1.0"]
    experiment = composed(*TINY, *OFF, "augmentation/crop=none", *size, *overrides).experiment
    session, evaluator = session_of(experiment)
    data, view = session.data, experiment.evaluation.resolution.views()[0]
    crops, positions = session.crops[0]
    made = {mode: center_crop(data.images, data.train[positions], 12, 12, mode) for mode in INTERPOLATIONS}
    assert not torch.equal(made["bilinear"], made["bicubic"])
    assert torch.equal(crops, made[meant])
    shown = evaluator.load_crops("val", view)
    assert torch.equal(shown, center_crop(data.images, data.val, 12, 12, meant))
    (tuned_on,) = evaluator.get_training_images(view).read([positions])
    mean, std = evaluator.preprocessing.mean, evaluator.preprocessing.std
    expected = (made[meant] / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(tuned_on, expected, rtol=1e-5, atol=1e-5)
    assert evaluator.preprocessing.interpolation == meant
