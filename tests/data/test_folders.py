"""Names of splits and endings of images."""

import numpy as np
import pytest
from PIL import Image, features

from sota_exp.data.folders import find_split, get_image_endings, is_image
from sota_exp.data.store_writer import TEST, TRAIN, VAL

SPLITS = {
    TRAIN: "train Train TRAINING training_set trainset train-images seg_train train2017 train_data img_train",
    VAL: "val Val valid VALID validation validation_set val2017 dev valset",
    TEST: "test Testing TEST test_set testset seg_test test1 eval evaluation test-data",
    None: "cat traint contest valley trainer train_station set data images 2017 evaluate tests_of_trains set1",
}


@pytest.mark.parametrize(
    ("name", "split"), [(name, split) for split, names in SPLITS.items() for name in names.split()]
)
def test_names_of_splits(name, split):
    assert find_split(name) == split


@pytest.mark.filterwarnings("ignore:.*image format is deprecated")
def test_everything_that_pillow_writes_and_reads_is_an_image(tmp_path):
    image = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    for ending, name in Image.registered_extensions().items():
        if name not in Image.SAVE or name not in Image.OPEN or name in ("WMF", "GRIB", "BUFR", "HDF5", "EPS"):
            continue
        if name == "AVIF" and not features.check("avif"):
            continue
        try:
            image.save(path := tmp_path / f"image{ending}")
        except (OSError, ValueError, KeyError):
            continue  # Formats for other pixels.
        with Image.open(path) as opened:
            opened.load()
        assert is_image(path.name), ending


def test_endings_of_photographs_in_any_case():
    assert all(map(is_image, ("a.jpg", "a.JPG", "a.jfif", "a.avif", "a.webp", "a.mpo", "a.jp2", "a.b.Tiff")))
    assert not any(map(is_image, ("._a.jpg", ".jpg", "a", "a.txt", "a.h5", "a.pdf", "a.mpg", "a.heic")))
    assert all(ending == ending.lower() for ending in get_image_endings())
