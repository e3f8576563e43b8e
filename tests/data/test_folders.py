"""Names of splits and endings of images."""

import numpy as np
import pytest
from PIL import Image, features

from sota_exp.data.folders import find_split, find_splits, get_image_endings, is_image
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from tests.rows import each_row

SPLITS = {
    TRAIN: "train Train TRAINING training_set trainset train-images seg_train train2017 train_data img_train trn trainings",
    VAL: "val Val valid VALID validation validation_set val2017 dev valset Validate",
    TEST: "test Testing TEST test_set testset seg_test test1 tst eval evaluation test-data Tests tests holdout Holdout",
    None: "cat traint contest valley trainer train_station set data images 2017 evaluate tests_of_trains set1",
}


@each_row("name, split", [(name, split) for split, names in SPLITS.items() for name in names.split()])
def test_names_of_splits(name, split):
    assert find_split(name) == split


BESIDE = {
    "pets_train pets_test": "pets_train pets_test",
    "asl_alphabet_train asl_alphabet_test asl_alphabet_val": "asl_alphabet_train asl_alphabet_test asl_alphabet_val",
    "train-(1) test-(1)": "train-(1) test-(1)",
    "train_set_2 test_set_2": "train_set_2 test_set_2",
    "1_train 2_test": "1_train 2_test",
    "1.Train 2.Val 3.Test": "1.Train 2.Val 3.Test",
    "petsTrain petsTest": "petsTrain petsTest",
    "PETSTrain PETSTest": "PETSTrain PETSTest",
    "trn tst": "trn tst",
    "train pets_test": "train",
    "Training Holdout": "Training Holdout",
    "Train Validate Test": "Train Validate Test",
    "train learn": "train",
    "trainA testA trainB testB": "",
    "pets_train pets_test sample": "",
    "pets_train cats_test": "",
    "bullet_train steam_train": "",
    "trainer tester": "",
    "bullet_train": "",
    "chéval chétest": "",
}


@each_row("names, splits", BESIDE.items())
def test_names_that_are_those_of_splits_beside_each_other(names, splits):
    assert list(find_splits(names.split())) == splits.split()


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
