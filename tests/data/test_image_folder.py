import itertools
import logging
import os
import shutil
import struct
import unicodedata
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from sota_exp.config.build import build
from sota_exp.data.decode import TRANSPARENT, decode_file, decode_image, read_peak
from sota_exp.data.image_files import shrink
from sota_exp.data.image_folder import find_folder_images
from sota_exp.data.listing import ImageFile
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.data.stream_index import load_or_build_index, read_file_facts
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.stages.data import DataSource
from sota_exp.stages.stage import InvalidValue
from tests.data.options import read_data_option
from tests.rows import each_row


def source(tmp_path, **changes):
    values = read_data_option("image_folder")
    return build(
        DataSource, values | {"cache": str(tmp_path / "cache"), "root": str(tmp_path / "set")} | changes, "data"
    )


def pixels(seed, height=9, width=12):
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def fill(root, **counts):
    """`fill(root, **{"train/cat": 3})` writes three images of different sizes there."""
    for place, count in counts.items():
        folder = root / place
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            seed = sum(place.encode()) * 1000 + index
            Image.fromarray(pixels(seed, 8 + index % 5, 12)).save(folder / f"{index:03d}.png")


LAYOUTS = {
    "flat": ({"cat": 20, "dog": 20}, (32, 4, 4)),
    "nested class folders": ({"cat/a": 10, "cat/b": 10, "dog": 20}, (32, 4, 4)),
    "train alone": ({"train/cat": 20, "train/dog": 20}, (32, 4, 4)),
    "train and val": ({"train/cat": 20, "train/dog": 20, "val/cat": 3, "val/dog": 4}, (36, 7, 4)),
    "train and valid": ({"train/cat": 20, "train/dog": 20, "valid/cat": 3}, (36, 3, 4)),
    "train and validation": ({"train/cat": 20, "train/dog": 20, "validation/dog": 2}, (36, 2, 4)),
    "train and test": ({"train/cat": 20, "train/dog": 20, "test/cat": 5, "test/dog": 5}, (36, 4, 10)),
    "all three": ({"train/cat": 20, "train/dog": 20, "val/cat": 3, "test/dog": 5}, (40, 3, 5)),
    "test without labels": ({"train/cat": 20, "train/dog": 20, "test": 5}, (32, 4, 4)),
    "other names": ({"Training/cat": 20, "Training/dog": 20, "VALID/cat": 3, "Test_Set/dog": 5}, (40, 3, 5)),
    "a split in itself": (
        {"seg_train/seg_train/cat": 20, "seg_train/seg_train/dog": 20, "seg_test/seg_test/dog": 5},
        (36, 4, 5),
    ),
    "shared text": ({"pets_train/cat": 20, "pets_train/dog": 20, "pets_test/cat": 5, "pets_test/dog": 5}, (36, 4, 10)),
    "numbers": ({"1_train/cat": 20, "1_train/dog": 20, "2_val/cat": 3, "3_test/dog": 5}, (40, 3, 5)),
    "shared text twice": (
        {"asl_train/asl_train/cat": 20, "asl_train/asl_train/dog": 20, "asl_test/asl_test/dog": 5},
        (36, 4, 5),
    ),
    "train is a class": ({"car": 10, "plane": 10, "train": 20}, (32, 4, 4)),
    "names that only begin alike": ({"trainer": 20, "trainee": 20}, (32, 4, 4)),
    "three images a class": ({"cat": 3, "dog": 3}, (4, 1, 1)),
    "a class with one image": ({"cat": 20, "dog": 20, "fox": 1}, (33, 4, 4)),
    "a class that test lacks": ({"train/cat": 20, "train/dog": 20, "test/cat": 4, "test/dog": 0}, (36, 4, 4)),
}


@pytest.mark.parametrize(("counts", "sizes"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(tmp_path, counts, sizes):
    fill(tmp_path / "set", **counts)
    data = source(tmp_path)()
    assert (len(data.train), len(data.val), len(data.test)) == sizes
    assert len(torch.cat([data.train, data.val, data.test]).unique()) == sum(sizes)
    top = "nested" not in str(tmp_path) and any("/" in place for place in counts)
    classes = {place.split("/")[-1 if top else 0] for place, count in counts.items() if count}
    assert set(data.classes) == classes - ({"test"} if top else set())
    assert set(data.labels[data.train].tolist()) == set(range(len(data.classes)))


#: Layout and fractions → sizes of train, val and test, where nothing is cut for a part.
UNCUT = {
    "val is test": ("train and val", {"test_fraction": None}, (40, 7, 7)),
    "test is val": ("train and test", {"val_fraction": None}, (40, 10, 10)),
    "what is cut is both": ("flat", {"test_fraction": None}, (36, 4, 4)),
    "both are there": ("all three", {"val_fraction": None, "test_fraction": None}, (40, 3, 5)),
}


@pytest.mark.parametrize(("layout", "fractions", "sizes"), UNCUT.values(), ids=UNCUT)
@pytest.mark.parametrize("store_gigabytes", [50.0, 1e-9], ids=["stored", "streamed"])
def test_without_a_fraction_val_and_test_are_the_same_split(tmp_path, layout, fractions, sizes, store_gigabytes):
    fill(tmp_path / "set", **LAYOUTS[layout][0])
    data = source(tmp_path, store_gigabytes=store_gigabytes, **fractions)()
    assert (len(data.train), len(data.val), len(data.test)) == sizes
    assert torch.equal(data.val, data.test) == (layout != "all three")
    assert not set(data.train.tolist()) & set(data.test.tolist())


def test_without_split_and_fraction_there_is_nothing_to_validate_on(tmp_path):
    fill(tmp_path / "set", **LAYOUTS["flat"][0])
    with pytest.raises(InvalidValue, match="val_fraction=null.*neither a val nor a test split"):
        source(tmp_path, val_fraction=None, test_fraction=None)()


def test_pixels_labels_and_order(tmp_path):
    for name in ("dog", "cat"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(4):
            image = Image.fromarray(pixels(index + 10 * (name == "dog"), 9 + index, 14))
            image.save(tmp_path / "set" / name / f"{index}.PNG")
    data = source(tmp_path)()
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0] * 4 + [1] * 4
    for index in range(8):
        expected = pixels(index % 4 + 10 * (index >= 4), 9 + index % 4, 14)
        assert np.array_equal(data.images.image(index).permute(1, 2, 0).numpy(), expected)


ERRORS = {
    "missing": (None, "/set does not exist"),
    "empty": ({}, "is an empty folder"),
    "an empty class folder": ({"cat": 2, "dog": 2, "fox": 0}, "set/fox has no files; put images into it, or rem"),
    "images without class folders": ({"": 3}, "no image was found"),
    "one class": ({"cat": 5}, "only 'cat' was found"),
    "train without class folders": ({"train": 5}, "one folder per class in train, which are named like splits"),
    "splits without class folders": ({"Training": 5, "Test": 5}, "one folder per class in Test, Training, which"),
    "classes beside test": ({"cat": 5, "dog": 5, "test/cat": 2}, "a folder train beside test, or only folders of clas"),
    "no train": ({"val/cat": 2, "val/dog": 2, "test/dog": 2}, "two classes with training images; none was found"),
    "train with one class": ({"train/cat": 5, "val/cat": 2}, "only 'cat' was found"),
    "empty train": ({"train/cat": 0, "val/cat": 2, "val/dog": 2}, "train/cat has no files"),
    "val knows more": ({"train/cat": 3, "train/dog": 3, "val/fox": 1}, "which has no 'fox'"),
    "val twice": ({"train/cat": 3, "train/dog": 3, "val/cat": 1, "valid/cat": 1}, "not val and valid"),
    "classes in one more folder": (
        {"animals/cat": 3, "animals/dog": 3},
        "only one contains cat, dog. Did you mean .*/set/animals",
    ),
    "parts in one more folder": (
        {"set/train/cat": 3, "set/train/dog": 3, "set/test/dog": 3},
        "only one contains test, train",
    ),
    "splits of two sets": (
        {f"{split}{domain}/{name}": 3 for split in ("train", "test") for domain in "AB" for name in ("cat", "dog")},
        "differ in one word alone, not testA, testB, trainA, trainB; data.layout=classes",
    ),
    "splits beside others": (
        {"pets_train/cat": 3, "pets_test/cat": 3, "sample": 3},
        "differ in one word alone, not pets_test, pets_train; data.layout=classes",
    ),
    "a test folder without classes beside classes": (
        {"cat": 5, "dog": 5, "test": 5},
        "test beside them would be learn",
    ),
    "val and holdout beside a class": (
        {"cat": 5, "Val": 5, "holdout": 5},
        "but Val, holdout beside them would be learn",
    ),
    "splits in classes": (
        {"cat/train": 5, "cat/test": 2, "dog/train": 5, "dog/test": 2},
        "such as test/cat; cat/test would be trained on as a part of class cat; data.layout=classes",
    ),
    "a test folder among the images of a class": (
        {"cat": 5, "cat/Testing": 2, "dog": 5},
        "such as Testing/cat; cat/Te",
    ),
    "German parts": (
        {f"{part}/{name}": 3 for part in ("Trainingsdaten", "Testdaten") for name in ("cat", "dog")},
        "Testdaten, Trainingsdaten, each with cat, dog may be either: name splits train, val, test; data.layout=classes",
    ),
    "German parts without classes": ({"Trainingsdaten": 5, "Testdaten": 5}, "Testdaten, Trainingsdaten may be either"),
    "short parts": ({"tr": 5, "te": 5}, "te, tr may be either"),
    "joined words": ({"Xtrain": 5, "Xtest": 5, "Xval": 5}, "Xtest, Xtrain, Xval may be either"),
    "parts in another language": (
        {"lernen/cat": 3, "lernen/dog": 3, "pruefen/cat": 3, "pruefen/dog": 3, "pruefen/cow": 3},
        "lernen, pruefen, each with cat, dog may be either",
    ),
    "two folders deeper": (
        {"a/b/cat": 3, "a/b/dog": 3},
        "only one is a/b, which contains cat, dog. Did you mean .*/set/a/b",
    ),
    "nothing to cut": (
        {"cat": 1, "dog": 1},
        "enough images to train, validate and test; 2 were found, one of each class, of which one stays in train",
    ),
}


@pytest.mark.parametrize(("counts", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_root(tmp_path, counts, message):
    if counts is not None:
        (tmp_path / "set").mkdir()
        fill(tmp_path / "set", **counts)
    with pytest.raises(InvalidValue, match=message) as caught:
        source(tmp_path)()
    assert caught.value.name == "root" and str(tmp_path / "set") in str(caught.value)


def test_root_is_a_file(tmp_path):
    (tmp_path / "set").write_text("")
    with pytest.raises(InvalidValue, match="/set is a file, not a folder"):
        source(tmp_path)()


def test_root_is_mandatory(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.root: a value is missing"):
        source(tmp_path, root="???")


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("vall/cat", "vall, not named as a split (val, valid, validate, dev, test, holdout …)"),
        ("validate", "validate, no split with one folder per class"),
    ],
)
def test_ignored_folders_are_named(tmp_path, caplog, folder, reason):
    fill(tmp_path / "set", **{"train/cat": 3, "train/dog": 3, folder: 3})
    with caplog.at_level(logging.WARNING):
        source(tmp_path)()
    assert f"train is train; ignored: {reason}" in caplog.text and "data.layout=classes" in caplog.text


def test_classes_of_one_image_each_are_told_as_such(tmp_path):
    fill(tmp_path / "set", **{f"c{index:03}": 1 for index in range(20)})
    legal = "20 were found, one of each class, of which one stays in train"
    with pytest.raises(InvalidValue, match=f"enough images to train, validate and test; {legal}"):
        source(tmp_path)()


@pytest.mark.parametrize(
    "counts",
    [
        {"val": 20, "test": 20},
        {"train/a": 9, "test/a": 9, "car": 9},
        {"cat": 9, "test": 9},
        {"a/val": 9, "b/val": 9},
        {"tr": 9, "te": 9},
        {"day/a": 9, "day/b": 9, "night/a": 9, "night/b": 9},
    ],
)
def test_every_folder_is_a_class_where_layout_says_so(tmp_path, counts):
    fill(tmp_path / "set", **counts)
    assert set(source(tmp_path, layout="classes")().classes) == {place.split("/")[0] for place in counts}


def test_classes_may_each_have_a_folder_of_the_same_name(tmp_path):
    fill(tmp_path / "set", **{"cat/images": 9, "dog/images": 9})
    assert source(tmp_path)().classes == ("cat", "dog")


def test_what_is_understood_by_other_names_is_said(tmp_path, caplog):
    fill(tmp_path / "set", **{"Training/cat": 5, "Training/dog": 5, "Testing/cat": 3})
    with caplog.at_level(logging.INFO):
        source(tmp_path)()
    assert "Training is train, Testing is test; data.layout=classes" in caplog.text


@pytest.mark.parametrize("layout", ["auto", "classes"])
def test_folders_without_images_that_are_taken_as_classes_are_told(tmp_path, caplog, layout):
    fill(tmp_path / "set", **{"animals/cat": 5, "animals/dog": 5, "plants/oak": 5, "plants/elm": 5})
    with caplog.at_level(logging.WARNING):
        assert source(tmp_path, layout=layout)().classes == ("animals", "plants")
    said = "animals, plants are taken as classes, but no images lie in them beside their folders, such as cat, dog"
    assert (said in caplog.text and "data.layout=classes" in caplog.text) == (layout == "auto")


def test_what_is_left_out_is_counted_by_class_and_ending(tmp_path, caplog):
    fill(tmp_path / "set", cat=5, dog=5)
    for name in ("cat/1.heic", "cat/2.HEIC", "cat/notes", "dog/Thumbs.db", "dog/.hidden.xyz"):
        (tmp_path / "set" / name).write_text("not an image")
    Image.fromarray(pixels(0)).save(tmp_path / "set" / "stray.png")
    for name in ("stray.heic", "README.txt", ".hidden"):
        (tmp_path / "set" / name).write_text("not an image")
    with caplog.at_level(logging.WARNING):
        assert len(find_folder_images(tmp_path / "set")) == 10
    assert "4 files are left out" in caplog.text
    assert "cat: 1 without an ending, 2 .heic; dog: 1 .db" in caplog.text
    assert "1 image in no class folder is left out: stray.png" in caplog.text
    assert "2 other files in no class folder are left out: README.txt, stray.heic\n" in caplog.text


@pytest.mark.parametrize("place", ["", "seg_train", "seg_train/seg_train", "seg_test"])
def test_images_outside_of_class_folders_are_told_and_change_nothing_else(tmp_path, place, caplog):
    fill(tmp_path / "set", **LAYOUTS["a split in itself"][0])
    for name in ("stray.png", "another.png"):
        Image.fromarray(pixels(0)).save(tmp_path / "set" / place / name)
    with caplog.at_level(logging.WARNING):
        assert len(find_folder_images(tmp_path / "set")) == 45
    told = [record.message for record in caplog.records if "no class folder" in record.message]
    assert told == [f"{tmp_path / 'set' / place}: 2 images in no class folder are left out: another.png, stray.png"]


def test_a_class_called_train_may_have_folders(tmp_path, caplog):
    fill(tmp_path / "set", **{"car": 9, "train": 5, "train/steam": 9, "train/diesel": 9})
    assert set(source(tmp_path)().classes) == {"car", "train"}
    assert "train is a class like car, as images lie in it beside its folders" in caplog.text


@pytest.mark.parametrize("split", ["", "train/", "test/"])
def test_a_class_whose_files_are_all_left_out_is_an_error(tmp_path, split):
    fill(tmp_path / "set", **{"train/cat": 5, "train/dog": 5, "test/cat": 2} if split else {"cat": 5, "dog": 5})
    (tmp_path / "set" / split / "fox").mkdir()
    for index in range(3):
        (tmp_path / "set" / split / "fox" / f"{index}.heic").write_text("")
    with pytest.raises(InvalidValue, match="fox has only 3 .heic, which Pillow does not read; convert them"):
        source(tmp_path)()


def test_links_to_nothing_are_told(tmp_path):
    fill(tmp_path / "set", cat=5, dog=5)
    (tmp_path / "set" / "fox").symlink_to(tmp_path / "gone")
    with pytest.raises(InvalidValue, match="set/fox is a link to .*/gone, which does not exist"):
        source(tmp_path)()
    (tmp_path / "set" / "fox").unlink()
    (tmp_path / "set" / "cat" / "9.png").symlink_to("gone.png")
    with pytest.raises(
        RunFailed, match=r"cat/9.png can't be read as an image: .* is a link to gone.png, which does not"
    ):
        source(tmp_path)()


LINKS = {
    "to the root": ("cat/back", "..", "a folder above it"),
    "to itself": ("cat/back", ".", "a folder above it"),
    "deep": ("cat/deep/deeper/back", "../..", "a folder above it"),
    "over another": ("cat/back", "../other/up", "a folder above it"),
    "twice": ("cat/zz", "deep", "a folder that is read already"),
    "before its target": ("cat/a", "deep/deeper", "a folder that is read already"),
}


@pytest.mark.parametrize(("link", "target", "reason"), LINKS.values(), ids=LINKS)
def test_no_folder_is_read_twice_through_a_link(tmp_path, caplog, link, target, reason):
    fill(tmp_path / "set", **{"cat": 5, "cat/deep/deeper": 2, "dog": 5, "../outside": 3})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "cat" / "outside").symlink_to("../../outside")  # is followed
    (tmp_path / "set" / link).symlink_to(target if target != "../other/up" else tmp_path / "other" / "up")
    with caplog.at_level(logging.WARNING):
        found = find_folder_images(tmp_path / "set")
    assert len(found) == len({image.path.resolve() for image in found}) == 15
    (told,) = [record.message for record in caplog.records if "not followed" in record.message]
    assert f"{reason}, and not followed" in told and told.startswith(str(tmp_path / "set" / "cat"))


TWO_LABELS = {
    "a sibling": ({"cat/more": "../dog"}, 5, "left out: 5,"),
    "a sibling before its target": ({"dog/more": "../cat"}, 5, "left out: 5,"),
    "a folder below a sibling": ({"cat/more": "../dog/deep"}, 2, "left out: 2,"),
    "a file": ({"dog/z.png": "../cat/000.png"}, 1, "left out: 1,"),
    "one outside, twice": ({"cat/out": "../../outside", "dog/out": "../../outside"}, 3, "left out: 3,"),
}


@pytest.mark.parametrize(("links", "num", "told"), TWO_LABELS.values(), ids=TWO_LABELS)
@pytest.mark.parametrize("is_linked", [False, True])
def test_no_image_has_two_labels_through_links(tmp_path, caplog, links, num, told, is_linked):
    fill(tmp_path / "set", **{"cat": 5, "dog": 3, "dog/deep": 2, "../outside": 3})
    for link, target in links.items():
        (tmp_path / "set" / link).symlink_to(target)
    (tmp_path / "alias").symlink_to("set")
    with caplog.at_level(logging.WARNING):
        found = find_folder_images(tmp_path / ("alias" if is_linked else "set"))
    assert len(found) == len({image.path.resolve() for image in found}) == 10 + 3 * ("outside" in told or num == 3)
    (record,) = [record.message for record in caplog.records if "another class or split" in record.message]
    assert told in record
    own = {image.class_name for image in found if image.path.resolve().parent.name == "deep"}
    assert own == {"dog"}


@pytest.mark.parametrize(
    ("link", "target", "message"),
    [
        ("fox", "cat", "set/fox are links to those of .*set/cat"),
        ("ant", "dog", "set/ant are links to those of .*set/dog"),
    ],
)
def test_a_class_that_is_a_copy_of_another_through_links_is_refused(tmp_path, link, target, message):
    fill(tmp_path / "set", cat=5, dog=5)
    (tmp_path / "set" / link).symlink_to(target)
    with pytest.raises(InvalidValue, match=f"{message}; remove the links"):
        source(tmp_path)()


def test_a_split_that_is_a_link_to_another_is_refused(tmp_path):
    fill(tmp_path / "set", **{"train/cat": 5, "train/dog": 5})
    (tmp_path / "set" / "test").symlink_to("train")
    with pytest.raises(InvalidValue, match="set/test/cat are links to those of .*set/train/cat; remove the links"):
        source(tmp_path)()


def test_a_class_that_is_a_link_to_a_folder_above_is_refused(tmp_path):
    fill(tmp_path / "set", cat=5, dog=5)
    (tmp_path / "set" / "fox").symlink_to(".")
    with pytest.raises(InvalidValue, match="set/fox is a link to .*/set, a folder above it; remove it"):
        source(tmp_path)()


def test_other_files_are_ignored(tmp_path):
    fill(tmp_path / "set", **{"cat": 5, "dog": 5, ".git/objects": 2, "cat/.ipynb_checkpoints": 2, "__MACOSX/cat": 1})
    for name in ("._000.png", "notes.txt", ".DS_Store"):
        (tmp_path / "set" / "cat" / name).write_text("not an image")
    assert len(find_folder_images(tmp_path / "set")) == 10


def test_a_store_is_reused_and_rebuilt_after_a_change(tmp_path):
    fill(tmp_path / "set", cat=5, dog=5)
    first = source(tmp_path)()
    assert source(tmp_path)().images is first.images
    Image.fromarray(pixels(99)).save(tmp_path / "set" / "cat" / "000.png")
    assert source(tmp_path)().digest != first.digest


def test_the_digest_depends_on_content_and_not_on_the_path(tmp_path):
    fill(tmp_path / "set", cat=5, dog=5)
    first = source(tmp_path)()
    shutil.copytree(tmp_path / "set", tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere" / "cat" / "001.png", ns=(1, 1))
    second = source(tmp_path, root=str(tmp_path / "elsewhere"))()
    assert second.digest == first.digest and second.images is not first.images
    assert torch.equal(second.train, first.train)


def test_max_side_reduces_the_shorter_side(tmp_path):
    for name, size in (("cat", (40, 80)), ("dog", (100, 30)), ("fox", (10, 12))):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(pixels(index, *size)).save(tmp_path / "set" / name / f"{index}.png")
    data = source(tmp_path, max_side=20)()
    sizes = {data.images.size(int(index)) for index in range(9)}
    assert sizes == {(20, 40), (66, 20), (10, 12)}
    with pytest.raises(ConfigError, match="max_side=7"):
        source(tmp_path, max_side=7)


def test_shrunk_averages():
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[:, :, ::2] = 200
    assert (shrink(image, 8).int() - 100).abs().max() <= 5
    assert shrink(image, None) is image and shrink(image, 64) is image


FORMATS = {"png": 0, "bmp": 0, "ppm": 0, "tif": 0, "webp": 25, "jpg": 25}


@pytest.mark.parametrize(("suffix", "tolerance"), FORMATS.items())
def test_formats(tmp_path, suffix, tolerance):
    smooth = np.add.outer(np.arange(20), np.arange(30))[:, :, None] * np.array([1, 2, 3]) + 20
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(smooth.astype(np.uint8)).save(path)
    assert np.abs(decode_image(path).permute(1, 2, 0).numpy() - smooth).max() <= tolerance


def test_other_pixel_modes_become_rgb(tmp_path):
    grey = np.arange(240, dtype=np.uint8).reshape(12, 20)
    red = Image.fromarray(np.stack([grey, 0 * grey, 0 * grey], axis=2))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).save(tmp_path / "grey.tif")
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(grey.astype(np.uint16) * 256 + 7).save(tmp_path / name)
    opaque = np.full_like(grey, 255)
    Image.fromarray(np.dstack([grey, grey, grey, opaque])).save(tmp_path / "alpha.png")
    red.quantize(256).save(tmp_path / "palette.png")
    Image.fromarray(grey).quantize(256).save(tmp_path / "opaque.png", transparency=bytes([255] * 256))
    Image.fromarray(np.dstack([grey, opaque])).save(tmp_path / "grey-alpha.png")
    red.convert("CMYK").save(tmp_path / "cmyk.tif")
    red.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    Image.fromarray(grey).save(tmp_path / "moving.gif", save_all=True, append_images=[Image.fromarray(255 - grey)])
    for name in (
        "grey.png",
        "grey.tif",
        "deep.png",
        "deep.tif",
        "alpha.png",
        "grey-alpha.png",
        "opaque.png",
        "moving.gif",
    ):
        assert torch.equal(decode_image(tmp_path / name), torch.from_numpy(grey).expand(3, -1, -1)), name
    assert np.array_equal(decode_image(tmp_path / "palette.png").permute(1, 2, 0).numpy(), np.asarray(red))
    assert np.array_equal(decode_image(tmp_path / "cmyk.tif").permute(1, 2, 0).numpy(), np.asarray(red))
    assert np.abs(decode_image(tmp_path / "cmyk.jpg").permute(1, 2, 0).numpy().astype(int) - np.asarray(red)).max() <= 4


@pytest.mark.parametrize(
    "kind", ["rgba.png", "grey.png", "palette.png", "colour.png", "rgba.webp", "moving.gif", "deep.png"]
)
def test_transparent_pixels_are_white_and_another_digest(tmp_path, kind):
    """A black sign on a transparent ground is black everywhere below its transparency."""
    sign = np.zeros((12, 20), np.uint8)
    sign[4:8] = 255  # opacity
    black, path = np.zeros((12, 20, 3), np.uint8), tmp_path / kind
    if kind == "deep.png":
        write_deep_png(path, np.dstack([black, sign]).astype(np.uint16) * 257)
    elif kind == "grey.png":
        Image.fromarray(np.dstack([black[:, :, :1], sign])).save(path)
    elif kind == "palette.png":
        Image.fromarray(sign // 255).convert("P").save(path, transparency=0)
    elif kind == "colour.png":  # one colour is transparent, without an alpha channel
        Image.fromarray(black + sign[:, :, None] // 200).save(path, transparency=(0, 0, 0))
    else:
        Image.fromarray(np.dstack([black, sign])).save(path, **({"lossless": True} if "webp" in kind else {}))
    found, remarks = decode_file(path)
    found = found.numpy()
    assert found[:, sign == 0].min() == 255 and found[:, sign == 255].max() <= 1
    facts = read_file_facts(path)
    assert remarks == facts[3] == (TRANSPARENT,) and facts[2].endswith("-see-through")


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_zero_is_white(tmp_path, bits):
    """Pillow inverts such values of 8 bits, when it writes them too, and leaves deeper ones as they are."""
    values = np.linspace(0, 2**bits - 1, 240).astype(f"uint{bits}").reshape(12, 20)
    path = tmp_path / "negative.tif"
    Image.fromarray(values).save(path, tiffinfo={262: 0})
    expected = values if bits == 8 else 255 - values // 256
    assert np.array_equal(decode_image(path)[0].numpy(), expected)
    assert read_file_facts(path)[2].endswith("-negative") == (bits == 16)


def write_deep_png(path, values, bits=None):
    """Big-endian 16-bit values [H, W] or [H, W, C] as a PNG, whose colours Pillow does not write. bits: for sBIT."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.size // (height * width)]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    parts[1:1] = [(b"sBIT", bytes([bits] * (values.size // (height * width))))] if bits else []
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@each_row(
    "white, kind",
    itertools.product(
        [4095, 8191, 16383, 32767, 65535],
        ["grey.png", "grey-alpha.png", "colour.png", "alpha.png", "grey.tif", "grey.jp2", "grey.pgm", "tag.tif"],
    ),
)
def test_values_of_fewer_and_of_sixteen_bits(tmp_path, kind, white):
    values = np.linspace(0, white, 240).astype(np.uint16).reshape(12, 20)
    path, expected = tmp_path / kind, values.astype(int) * 256 // (white + 1)
    if kind.endswith("png"):
        num = {"colour.png": 3, "alpha.png": 4, "grey.png": 1, "grey-alpha.png": 2}[kind]
        opaque = [np.full_like(values, white)] if num % 2 == 0 else []
        write_deep_png(path, np.dstack([values] * (num - len(opaque)) + opaque))
    elif kind == "grey.pgm":
        path.write_bytes(b"P5 20 12 %d\n" % white + values.astype(">u2").tobytes())
    elif kind == "grey.jp2":
        Image.fromarray(values).save(path)
    else:
        Image.fromarray(values).save(path, tiffinfo={281: white} if kind == "tag.tif" else {})
    found = decode_file(path)
    assert np.abs(found.pixels.numpy().astype(int) - expected).max() <= (kind == "grey.pgm"), kind
    is_guessed = kind != "tag.tif" and (kind, white < 65535) != ("grey.pgm", True)
    assert found.remarks == (f"deep-{white}",) * (is_guessed and white < 65535)
    peak = read_peak(path)
    assert read_file_facts(path)[4] == peak and (peak is not None) == is_guessed
    assert peak is None or peak // 256 == white // 256


@each_row(
    "channels, bits, form",
    itertools.product(
        [1, 2, 3, 4], [8, 9, 10, 12, 14, 15, 16], ["unscaled", "dark", "zero fill", "replication", "linear"]
    ),
)
def test_a_png_that_tells_its_bits(tmp_path, form, bits, channels):
    """Values are scaled to 16 bits, as the specification wants, or left as they are, as many programs do."""
    shift, white = 16 - bits, 2**bits - 1
    raw = np.linspace(0, white, 480).astype(np.uint32).reshape(16, 30)
    if form == "dark":
        raw = raw // 8
    scale = {
        "zero fill": lambda raw: raw << shift,
        "replication": lambda raw: raw << shift | raw >> (bits - shift),
        "linear": lambda raw: np.rint(raw * (65535 / white)).astype(np.uint32),
    }.get(form, lambda raw: raw)
    path = tmp_path / "image.png"
    opaque = [np.full_like(raw, scale(np.array(white)))] if channels % 2 == 0 else []
    write_deep_png(path, np.dstack([scale(raw)] * (channels - len(opaque)) + opaque), bits)
    found = decode_file(path)
    assert np.abs(found.pixels.numpy().astype(int) - raw * 256 // (white + 1)).max() <= 1
    facts = read_file_facts(path)
    assert found.remarks == facts[3] == () and facts[4] is None
    assert facts[2].endswith(f"-{white}") == (form in ("unscaled", "dark") and bits < 16)


@pytest.mark.parametrize("form", [lambda raw: raw << 2, lambda raw: raw << 2 | raw >> 12], ids=["zero fill", "replica"])
def test_a_dark_png_of_scaled_values_stays_dark(tmp_path, form):
    raw = np.linspace(0, 2**11, 240).astype(np.uint16).reshape(12, 20)
    write_deep_png(tmp_path / "dark.png", form(raw), 14)
    assert np.array_equal(decode_image(tmp_path / "dark.png")[0].numpy(), form(raw) >> 8)


@pytest.mark.parametrize("store_gigabytes", [50.0, 0.0], ids=["stored", "streamed"])
def test_images_that_are_read_in_an_uncertain_way_are_counted_at_every_opening(tmp_path, caplog, store_gigabytes):
    fill(tmp_path / "set", cat=9, dog=9)
    for name in ("cat/a.png", "dog/b.png", "dog/c.png"):
        write_deep_png(tmp_path / "set" / name, np.full((9, 9), 4000, np.uint16))
    Image.new("RGBA", (9, 9), (0, 0, 0, 9)).save(tmp_path / "set" / "cat" / "z.png")
    for _ in range(2):
        caplog.clear()
        source(tmp_path, store_gigabytes=store_gigabytes)()
        deep, transparent = sorted(record.message for record in caplog.records if "the first is" in record.message)
        assert deep.startswith("16-bit images") and "(3 of 22 images; the first is cat/a.png)" in deep
        assert (
            transparent.startswith("transparent pixels") and "(1 of 22 images; the first is cat/z.png)" in transparent
        )


@pytest.mark.parametrize("store_gigabytes", [50.0, 0.0], ids=["stored", "streamed"])
def test_one_bright_value_does_not_darken_all_others_without_a_word(tmp_path, caplog, store_gigabytes):
    """12-bit values are 0 to 15 of 255 where a single one of 65535 makes this the white of the set."""
    for index in range(20):
        values = np.full((9, 9), 3000 + index, np.uint16)
        values[0, 0] = 65535 if index == 7 else 0
        folder = tmp_path / "set" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write_deep_png(folder / f"{index}.png", values)
    source(tmp_path, store_gigabytes=store_gigabytes)()
    (line,) = [record.message for record in caplog.records if "16-bit images" in record.message]
    assert "no value above 4095" in line and "(19 of 20 images; the first is a/0.png)" in line
    assert "set data.white=4095" in line
    caplog.clear()
    source(tmp_path, store_gigabytes=store_gigabytes, white=4095)()
    assert not any("16-bit images" in record.message for record in caplog.records)


def test_a_split_whose_class_folders_are_all_empty_is_told(tmp_path, caplog):
    fill(tmp_path / "set", **{"train/cat": 9, "train/dog": 9, "test/cat": 3, "test/dog": 3})
    for name in ("cat", "dog"):
        (tmp_path / "set" / "val" / name).mkdir(parents=True)
    source(tmp_path)()
    assert any("no image lies in the class folders of val" in record.message for record in caplog.records)


def test_classes_that_differ_in_capitals_alone_are_told(tmp_path, caplog):
    fill(tmp_path / "set", Cat=9, cat=9, dog=9)
    assert source(tmp_path)().classes == ("Cat", "cat", "dog")
    assert any("'Cat', 'cat' are classes whose names differ in capitals" in record.message for record in caplog.records)


def test_grey_with_alpha_of_twelve_bits_is_turned_upright(tmp_path):
    values = np.linspace(0, 4095, 240).astype(np.uint16).reshape(12, 20)
    write_deep_png(tmp_path / "a.png", np.dstack([values, np.full_like(values, 4095)]))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(content)) + b"eXIf" + content + struct.pack(">I", zlib.crc32(b"eXIf" + content))
    whole = (tmp_path / "a.png").read_bytes()
    place = whole.index(b"IDAT") - 4
    (tmp_path / "b.png").write_bytes(whole[:place] + chunk + whole[place:])
    upright, turned = (decode_image(tmp_path / name) for name in ("a.png", "b.png"))
    assert torch.equal(turned, upright.rot90(-1, (1, 2)))


def test_a_streamed_set_of_twelve_bits_has_another_digest(tmp_path):
    for name, white in (("12", 4095), ("16", 65535)):
        write_deep_png(tmp_path / f"{name}.png", np.full((8, 8, 3), white, np.uint16))
    Image.fromarray(pixels(0)).save(tmp_path / "8.png")
    found = [ImageFile(tmp_path / f"{name}.png", "a", 0) for name in ("8", "12")]
    _, hashes, remarks = load_or_build_index(found, tmp_path / "cache" / "one.json", None)
    assert ["-" in each for each in hashes] == [False, True] and remarks == {"deep-4095": [1]}
    _, hashes, _ = load_or_build_index(
        [*found, found[1]._replace(path=tmp_path / "16.png")], tmp_path / "two.json", None
    )
    assert not any("-" in each for each in hashes)  # all 16-bit files are read alike


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_images_are_rotated_upright(tmp_path, suffix):
    image = Image.fromarray(pixels(0, 16, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / f"image.{suffix}", exif=exif)
    assert decode_image(tmp_path / f"image.{suffix}").shape == (3, 32, 16)


def damaged_files(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(pixels(0, 64, 64)).save(whole)
    content = whole.read_bytes()
    yield "cut.jpg", content[: len(content) // 2]
    yield "empty.jpg", b""
    yield "text.png", b"<html>404</html>"
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)).save(tmp_path / "whole.tif")
    yield "float.tif", (tmp_path / "whole.tif").read_bytes()


def test_an_unreadable_image_fails_the_run_by_name(tmp_path):
    for name, content in damaged_files(tmp_path):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImage, match=f"{name} can't be read as an image: .+") as caught:
            decode_image(tmp_path / name)
        assert str(caught.value).count(name) == 1 and "Errno" not in str(caught.value)
    assert issubclass(UnreadableImage, RunFailed)
    fill(tmp_path / "set", cat=5, dog=5)
    shutil.copy(tmp_path / "cut.jpg", tmp_path / "set" / "dog" / "cut.jpg")
    with pytest.raises(UnreadableImage, match=r"dog/cut\.jpg"):
        source(tmp_path)()
    assert not list((tmp_path / "cache" / "stores").glob("*/pixels.u8"))


@pytest.mark.parametrize("store_gigabytes", [None, 0.0], ids=["stored", "streamed"])
def test_every_unreadable_image_is_named_and_counted(tmp_path, caplog, store_gigabytes):
    fill(tmp_path / "set", cat=5, dog=5)
    for name in ("cat/a.jpg", "dog/b.jpg", "dog/c.jpg"):
        (tmp_path / "set" / name).write_bytes(b"no image")
    (tmp_path / "set" / "dog" / "d.jpg").write_bytes(b"")
    (tmp_path / "set" / "dog" / "e.jpg").symlink_to("gone.jpg")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(RunFailed, match="5 files can't be read as images; fix or rem"),
    ):
        source(tmp_path, store_gigabytes=store_gigabytes)()
    unknown = "its content is in no image format that Pillow reads"
    place = tmp_path / "set"
    reasons = {
        "cat/a.jpg": unknown,
        "dog/b.jpg": unknown,
        "dog/c.jpg": unknown,
        "dog/d.jpg": "it is an empty file",
        "dog/e.jpg": "it is a link to gone.jpg, which does not exist",
    }
    told = [record.message for record in caplog.records if "is streamed" not in record.message]
    assert told == [f"{place / name} can't be read as an image: {reason}" for name, reason in reasons.items()]


def test_one_unreadable_image_is_told_once(tmp_path, caplog):
    fill(tmp_path / "set", cat=5, dog=5)
    (tmp_path / "set" / "cat" / "a.jpg").write_bytes(b"no image")
    with caplog.at_level(logging.WARNING), pytest.raises(RunFailed, match="cat/a.jpg can't be read"):
        source(tmp_path)()
    assert not caplog.records


def test_names_that_unicode_composes_in_two_ways_are_one_class(tmp_path, caplog):
    one, other = "crème brûlée", unicodedata.normalize("NFD", "crème brûlée")
    fill(tmp_path / "set", **{f"train/{one}": 9, "train/dog": 9, f"test/{other}": 3, "test/dog": 3})
    with caplog.at_level(logging.WARNING):
        data = source(tmp_path)()
    assert data.classes == (one, "dog") and data.labels[data.test].bincount().tolist() == [3, 3]
    assert "'crème brûlée' is spelt in several Unicode forms" in caplog.text
    ordered = source(tmp_path, class_order=["dog", other])()
    assert ordered.classes == ("dog", one)


def write_deep_colours(path, values):
    """16-bit colours [H, W, 3] as PNG, PPM or TIFF (little-endian), of which Pillow keeps high bytes."""
    height, width, _ = values.shape
    if path.suffix == ".png":
        write_deep_png(path, values)
    elif path.suffix == ".ppm":
        path.write_bytes(b"P6 %d %d 65535\n" % (width, height) + values.astype(">u2").tobytes())
    else:
        white, is_packed = [(281, 3, 3, 16383)] if path.stem == "tag" else [], path.stem == "packed"
        data = values.astype("<u2").tobytes()
        data = zlib.compress(data) if is_packed else data
        entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 0), (259, 3, 1, 8 if is_packed else 1)]
        entries += [(262, 3, 1, 2)]
        entries += [(273, 4, 1, 0), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data)), *white]
        after = 8 + 2 + 12 * len(entries) + 4
        places = {258: after, 281: after + 6, 273: after + 12}
        fields = [struct.pack("<HHII", tag, kind, num, places.get(tag, value)) for tag, kind, num, value in entries]
        lists = struct.pack("<HHH", 16, 16, 16) + struct.pack("<HHH", 16383, 16383, 16383)
        head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(fields) + bytes(4) + lists
        path.write_bytes(head + data)


@pytest.mark.parametrize("white", [1023, 4095, 16383, 65535])
@pytest.mark.parametrize("name", ["a.png", "a.ppm", "a.tif", "packed.tif"])
def test_the_low_bytes_of_colours_are_read(tmp_path, name, white):
    values = np.linspace(0, white, 3 * 240).astype(np.uint16).reshape(12, 20, 3)
    write_deep_colours(tmp_path / name, values)
    found = decode_image(tmp_path / name, white=white).permute(1, 2, 0).numpy()
    assert np.array_equal(found, values.astype(int) * 256 // (white + 1)) and read_peak(tmp_path / name) in (
        white,
        65280,
    )


def test_the_white_of_a_tiff_of_colours_is_that_of_its_header(tmp_path):
    values = np.linspace(0, 8191, 3 * 240).astype(np.uint16).reshape(12, 20, 3)
    write_deep_colours(tmp_path / "tag.tif", values)
    found = decode_file(tmp_path / "tag.tif")
    assert np.array_equal(found.pixels.permute(1, 2, 0).numpy(), values // 64) and found.remarks == ()


@pytest.mark.parametrize("store_gigabytes", [50.0, 0.0], ids=["stored", "streamed"])
@pytest.mark.parametrize("kind", ["png", "ppm", "tif"])
@pytest.mark.parametrize(
    ("peaks", "white"), [((900, 4000), 4095), ((900, 600), 1023), ((9000, 300), 16383), ((300, 60000), 65535)]
)
def test_the_largest_value_of_a_data_set_decides_the_white_of_all(
    tmp_path, caplog, store_gigabytes, kind, peaks, white
):
    """A dark image among bright ones stays dark, and is told where another white would make it bright."""
    fill(tmp_path / "set", cat=9, dog=9)
    for name, peak in zip("xy", peaks, strict=True):
        write_deep_colours(tmp_path / "set" / "cat" / f"{name}.{kind}", np.full((9, 9, 3), peak, np.uint16))
    data = source(tmp_path, store_gigabytes=store_gigabytes)()
    found = {data.names[i]: int(data.images.image(i).max()) for i in range(len(data.labels))}
    assert [found[f"cat/{name}.{kind}"] for name in "xy"] == [peak * 256 // (white + 1) for peak in peaks]
    told = [record.message for record in caplog.records if "the value of white" in record.message]
    deep = [text for text in told if f"{white} is white, as none" in text and "data.white=65535" in text]
    dark = [text for text in told if f"data.white={white >> 4}," in text and "(1 of 20 images;" in text]
    assert data.white == white and len(deep) == (white < 65535) and len(dark) == (min(peaks) <= white >> 4)
    assert len(told) == len(deep) + len(dark)
    caplog.clear()
    data = source(tmp_path, store_gigabytes=store_gigabytes, white=65535)()
    found = {data.names[i]: int(data.images.image(i).max()) for i in range(len(data.labels))}
    assert [found[f"cat/{name}.{kind}"] for name in "xy"] == [peak // 256 for peak in peaks]
    assert not [record for record in caplog.records if "the value of white" in record.message]
