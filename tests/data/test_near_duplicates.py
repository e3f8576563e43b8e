"""Near-duplicates are found whatever was done to a copy, other images are not, and no split cuts their groups."""

import io
import logging

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from sota_exp.data import near_duplicates
from sota_exp.data.near_duplicates import CACHE_NAME, find_near_duplicates, make_thumbnail
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import InvalidValue
from tests.data.split.splitting import opened


def draw_picture(seed):
    """Blocks of random colours, smooth enough to survive JPEG."""
    blocks = np.random.default_rng(seed).integers(256, size=(7, 7, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((96, 80), Image.Resampling.BICUBIC)


def as_jpeg(picture):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=50)
    return Image.open(file).convert("RGB")


def crop(picture, left, top):
    """Without 5 % of the width and of the height. left, top: the share of that which is cut there."""
    width, height = (round(0.95 * side) for side in picture.size)
    x, y = round(left * (picture.width - width)), round(top * (picture.height - height))
    return picture.crop((x, y, x + width, y + height))


COPIES = {
    "equal": lambda picture: picture,
    "jpeg": as_jpeg,
    "70 %": lambda picture: picture.resize((67, 56)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "without its border": lambda picture: crop(picture, 0.5, 0.5),
    "without two sides": lambda picture: crop(picture, 1, 0),
    "all at once": lambda picture: as_jpeg(
        ImageEnhance.Brightness(crop(picture, 0.5, 0.5)).enhance(1.1).resize((50, 40))
    ),
}


def grouped(pictures):
    pixels = [torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures]
    return find_near_duplicates(torch.stack([make_thumbnail(each) for each in pixels]))


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_copy_is_in_the_group_of_its_original_and_other_images_are_alone(change):
    originals = [draw_picture(seed) for seed in range(20)]
    found = grouped([*originals, *(change(picture) for picture in originals)])
    assert (found.groups[:20] == found.groups[20:]).all() and len(set(found.groups)) == 20
    one, other = found.least_alike
    assert abs(one - other) == 20


def test_different_images_and_images_of_one_color_are_alone():
    flat = [Image.new("RGB", (64, 64), color) for color in ("black", "black", "red", (20, 200, 90))]
    noise = [Image.fromarray(np.random.default_rng(seed).integers(99, 102, (64, 64, 3), np.uint8)) for seed in range(9)]
    found = grouped([*flat, *noise, *(draw_picture(seed) for seed in range(200))])
    assert len(set(found.groups)) == 213 and len(found.least_alike) == 0


@pytest.mark.parametrize("at_once", [1, 64, 10**6])
def test_links_in_a_row_are_one_group_however_many_are_compared_at_once(monkeypatch, at_once):
    for limit in ("MAX_PRODUCTS", "MAX_PAIRS"):
        monkeypatch.setattr(near_duplicates, limit, at_once)
    scene = draw_picture(0).resize((400, 400))
    burst = [scene.crop((4 * step, 0, 4 * step + 300, 300)) for step in range(24)]
    order = np.random.default_rng(1).permutation(26)
    found = grouped([[*burst, draw_picture(1), draw_picture(2)][index] for index in order])
    assert len(set(found.groups[order < 24])) == 1 and len(set(found.groups)) == 3
    ends = grouped([burst[0], burst[-1]])
    assert len(set(ends.groups)) == 2  # which alone would not be linked


def write_bursts(place, groups=None):
    """`table.csv` with 20 bursts of three images each, of two classes."""
    rows = ["path,label,group" if groups else "path,label"]
    for index in range(60):
        picture = draw_picture(index // 3).resize((90 + index % 3, 70), Image.Resampling.BILINEAR)
        picture.save(place / f"{index:02d}.jpg", quality=95 - 20 * (index % 3))
        rows.append(f"{index:02d}.jpg,{'ab'[index // 3 % 2]}" + (f",{groups[index]}" if groups else ""))
    (place / "table.csv").write_text("\n".join(rows) + "\n")


def count_cut(data, groups):
    """How many groups, one number per image, are in several parts."""
    parts = np.full(len(groups), -1)
    for number, part in enumerate((data.train, data.val, data.test)):
        parts[part] = number
    return sum(len(set(parts[groups == group])) > 1 for group in set(groups.tolist()))


SPLITS = {
    "cross_validation": {"folds": 5, "repeats": 1, "repeat": 0, "fold": 2},
    "repeated": {"repeat": 3},
}


@pytest.mark.parametrize("gigabytes", [50.0, 0.0], ids=["stored", "streamed"])
@pytest.mark.parametrize("option", SPLITS)
def test_no_burst_is_cut_and_the_log_names_two_of_its_files(tmp_path, caplog, option, gigabytes):
    caplog.set_level(logging.INFO)
    write_bursts(tmp_path)
    split = {"_option_": option, **SPLITS[option]}
    bursts = np.arange(60) // 3
    assert count_cut(opened(tmp_path, split, store_gigabytes=gigabytes), bursts) > 3
    assert "near-duplicates" not in caplog.text
    data = opened(tmp_path, {**split, "near_duplicates": True}, store_gigabytes=gigabytes)
    assert count_cut(data, bursts) == 0
    assert len(set(np.concatenate([data.train, data.val, data.test]).tolist())) == 60
    assert (
        "near-duplicates: 20 groups of 60 images, each kept on one side; the largest has 3; least alike" in caplog.text
    )
    assert ".jpg and " in caplog.text


def test_they_are_united_with_the_groups_of_the_table(tmp_path):
    groups = [f"place {index // 6 if index % 3 == 0 else index}" for index in range(60)]  # binds two bursts each
    write_bursts(tmp_path, groups)
    split = {"_option_": "cross_validation", **SPLITS["cross_validation"], "near_duplicates": True}
    assert count_cut(opened(tmp_path, split), np.arange(60) // 6) == 0


def test_what_was_found_is_kept_beside_the_images_and_found_again_where_that_is_damaged(tmp_path, monkeypatch):
    write_bursts(tmp_path)
    split = {"_option_": "repeated", "repeat": 0, "near_duplicates": True}
    first = opened(tmp_path, split)
    (kept,) = (tmp_path / "cache" / "stores").glob(f"*/{CACHE_NAME}")
    kept.write_bytes(kept.read_bytes()[:100])
    assert opened(tmp_path, split).test.tolist() == first.test.tolist()
    monkeypatch.setattr(near_duplicates, "find_near_duplicates", lambda thumbnails: pytest.fail("compared again"))
    assert opened(tmp_path, split).test.tolist() == first.test.tolist()


def test_too_many_images_are_refused(tmp_path, monkeypatch):
    write_bursts(tmp_path)
    monkeypatch.setattr(near_duplicates, "MAX_IMAGES", 59)
    with pytest.raises(
        InvalidValue, match="split.near_duplicates=true is not legal: false for 60 images, as more than"
    ):
        opened(tmp_path, {"_option_": "repeated", "repeat": 0, "near_duplicates": True})


def test_a_class_of_one_group_says_that_its_images_look_alike(tmp_path):
    write_bursts(tmp_path)
    rows = (tmp_path / "table.csv").read_text().splitlines()
    (tmp_path / "table.csv").write_text("\n".join([*rows[:4], *(row.replace(",a", ",b") for row in rows[4:])]))
    split = {"_option_": "cross_validation", **SPLITS["cross_validation"], "near_duplicates": True}
    with pytest.raises(ConfigError, match="none to train on.*data.split.near_duplicates=false does not take"):
        print([opened(tmp_path, {**split, "fold": fold}) for fold in range(5)])
