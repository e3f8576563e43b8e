"""Images of every kind get the same answer."""

import numpy as np
import pytest
import torch
from PIL import Image

import sota_exp
from sota_exp.cli.python.predict import Predictions
from sota_exp.data.memory_image import read_image
from tests.experiments import TINY

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 20, 26, 3), np.uint8)
CHANNELS_FIRST = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return sota_exp.train(*TINY, "scale=smoke", quiet=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for number, image in enumerate(PIXELS):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


KINDS = {
    "array": PIXELS,
    "list of arrays": list(PIXELS),
    "floats": PIXELS / 255,
    "channels first": PIXELS.transpose(0, 3, 1, 2),
    "a tensor with channels last": torch.from_numpy(PIXELS),
    "tensor": CHANNELS_FIRST,
    "float tensor": CHANNELS_FIRST / 255,
    "tensors": list(CHANNELS_FIRST),
    "Pillow": [Image.fromarray(image) for image in PIXELS],
    "opaque": [Image.fromarray(image).convert("RGBA") for image in PIXELS],
    "generator": None,
    "mixed": [PIXELS[0], [CHANNELS_FIRST[1]], Image.fromarray(PIXELS[2])],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_the_same_image(kind, run, files):
    given = (image for image in PIXELS) if kind == "generator" else KINDS[kind]
    by_file, found = sota_exp.predict(run, files), sota_exp.predict(run.model, given)
    assert np.array_equal(found.probabilities, by_file.probabilities)
    assert found.images == ["0", "1", "2"] and [name[-5:] for name in by_file.images] == ["0.png", "1.png", "2.png"]
    assert found.probabilities.shape == (3, 4) and found.probabilities.sum(1) == pytest.approx(1)


def test_tables_of_classes(run):
    found = sota_exp.predict(run, PIXELS)
    assert list(found.frame.columns) == ["image", "prediction", "probability"]
    assert found.frame.probability.to_numpy() == pytest.approx(found.probabilities.max(1))
    assert found.top(2)["rank"].tolist() == [1, 2] * 3
    assert "<table>" in found._repr_html_() and len(found) == 3
    assert repr(found) == "<Predictions of 3 images, 4 classes>"


def test_one_image_is_told_with_its_class():
    found = Predictions(images=["a.png"], classes=("cat", "dog"), probabilities=np.float32([[0.129, 0.871]]))
    assert repr(found) == "<Predictions of 1 image, 2 classes: dog 87.1 %>"
    assert "1 image, 2 classes" in found._repr_html_()


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_classified(run, files, tmp_path, caplog):
    bad = tmp_path / "bad.png"
    bad.write_text("x")
    found = sota_exp.predict(run, [bad, files / "0.png"])
    assert len(found) == 1 and list(found.unreadable) == [str(bad)] and "bad.png can't be read" in caplog.text


WRONG = {
    "no image": ([], "predict needs images"),
    "a number": (3, "int is no image; legal: paths, arrays"),
    "no file": ("nothing.png", "nothing.png: no such file or folder"),
    "a shape": (PIXELS[0, :, :, :2], r"array of shape \[20, 26, 2\] is no image; legal: \[H, W, 3\]"),
    "a shape of a tensor": (torch.zeros(2, 20, 26), r"tensor of shape \[2, 20, 26\] is no image; legal: \[3, H, W\]"),
    "normalized": (PIXELS[0] / 127.5 - 1, "array with values from -1 to 1; legal: uint8, or floats in .0, 1."),
    "not a number": (np.full((4, 4, 3), np.nan), "array with values from nan to nan"),
    "whole numbers": (PIXELS[0].astype(np.int64), "array with values of int64"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_image_is_told(given, message, run):
    with pytest.raises(sota_exp.ConfigError, match=message):
        sota_exp.predict(run.model, given)


def test_there_is_no_such_run():
    with pytest.raises(sota_exp.ConfigError, match="no_such_run"):
        sota_exp.predict("no_such_run", PIXELS)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_an_image_in_memory_is_that_of_its_file(mode, tmp_path):
    from sota_exp.data.decode import decode_image

    image = Image.fromarray(PIXELS[0]).convert(mode)
    image.save(tmp_path / ("image.tiff" if mode == "CMYK" else "image.png"))
    (path,) = tmp_path.iterdir()
    assert torch.equal(read_image(image), decode_image(path))
    assert image.mode == mode


def test_grey_arrays_are_grey_images():
    grey = PIXELS[0, :, :, 0]
    expected = torch.from_numpy(grey).expand(3, -1, -1)
    for given in (grey, grey[:, :, None], torch.from_numpy(grey), torch.from_numpy(grey)[None]):
        assert torch.equal(read_image(given), expected)
