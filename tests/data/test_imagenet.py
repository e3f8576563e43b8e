import shutil

import pytest

from sota_exp.config.build import build, prefix_invalid_values
from sota_exp.data.imagenet import get_class_names
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSource
from tests import archives
from tests.data.options import read_data_option


def opened(tmp_path, **changes):
    values = read_data_option("imagenet")
    named = {"cache": str(tmp_path / "cache"), "root": str(tmp_path / "imagenet")}
    with prefix_invalid_values("data"):
        return build(DataSource, values | named | changes, "data")()


def test_val_is_the_test_split_and_val_is_taken_from_train(tmp_path):
    archives.imagenet(tmp_path)
    data = opened(tmp_path, val_fraction=0.25)
    assert [len(part) for part in (data.train, data.val, data.test)] == [48, 16, 20]
    assert data.classes == ("tench", "English springer", "cassette player", "chain saw")
    assert data.labels[data.test].tolist() == sorted(archives.labels(archives.TEST))


def test_val_is_val_and_test_without_a_fraction(tmp_path):
    """As in torchvision: every training image is used for training."""
    archives.imagenet(tmp_path)
    data = opened(tmp_path, val_fraction=None)
    assert [len(part) for part in (data.train, data.val, data.test)] == [64, 20, 20]


def test_a_thousand_different_names_in_the_order_of_ids():
    names = get_class_names()
    assert len(set(names.values())) == 1000 == len(names)
    assert names["n02012849"] == "crane (n02012849)" and names["n03126707"] == "crane (n03126707)"


def test_classes_beyond_the_thousand_keep_their_ids(tmp_path):
    archives.imagenet(tmp_path)
    for part in ("train", "val"):
        (tmp_path / "imagenet" / part / "n02102040").rename(tmp_path / "imagenet" / part / "n99999999")
    assert opened(tmp_path).classes == ("tench", "cassette player", "chain saw", "n99999999")


@pytest.mark.parametrize("lacking", ["", "train", "val"])
def test_without_the_folders_the_error_names_them(tmp_path, lacking):
    archives.imagenet(tmp_path)
    shutil.rmtree(tmp_path / "imagenet" / lacking)
    with pytest.raises(
        ConfigError, match=r"data\.root=.*imagenet is not legal: a folder with train/ and val/.*devkit_t12\.tar\.gz"
    ):
        opened(tmp_path)


def test_images_of_val_without_class_folders_are_not_silently_replaced(tmp_path):
    """As after unpacking the archive of val by hand: files without class folders."""
    archives.imagenet(tmp_path)
    val = tmp_path / "imagenet" / "val"
    for path in list(val.glob("*/*.JPEG")):
        path.rename(val / f"{path.parent.name}_{path.name}")
    for folder in list(val.glob("n*")):
        if folder.is_dir():
            folder.rmdir()
    with pytest.raises(ConfigError, match="one folder of images per class"):
        opened(tmp_path)


def test_a_class_without_training_images(tmp_path):
    archives.imagenet(tmp_path)
    shutil.rmtree(tmp_path / "imagenet" / "train" / "n02979186")
    with pytest.raises(ConfigError, match="which has no 'n02979186'"):
        opened(tmp_path)
