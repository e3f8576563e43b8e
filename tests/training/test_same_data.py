"""Data that change or vanish between the start of a run and its continuation are told in one line; nothing is lost."""

import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from sota_exp.data.open import open_data
from sota_exp.data.store import _open_once
from sota_exp.errors import ConfigError, Interrupted
from sota_exp.training.listener import RunRequest
from sota_exp.training.run import run
from tests.experiments import OFF, TINY, composed
from tests.training.test_run import Silent, assert_same_run, signalled_at

WORDS = (*(word for word in TINY if not word.startswith("data")), *OFF, "data=image_folder", "data.image_size=16",
         "batch_size=8", "data.val_fraction=0.2", "data.test_fraction=0.2")  # fmt: skip


def make_images(root):
    for index in range(40):
        path = root / f"class_{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(255, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def request(place, streamed):
    gigabytes = "0" if streamed else "20"
    words = [f"data.root={place}/images", f"data.cache={place}/cache", f"data.store_gigabytes={gigabytes}"]
    words += [f"data.digest={streamed}"] if streamed else []
    return RunRequest(configuration=composed(*WORDS, *words), directory=place / "run")


@pytest.fixture(scope="module", params=["", "full", "sampled"], ids=["stored", "streamed", "sampled"])
def streamed(request):
    """The digest of a streamed set, of which a sample is all forty images here; "" for a stored one."""
    return request.param


@pytest.fixture(scope="module")
def made(tmp_path_factory, streamed):
    """A folder with images, a whole run in `whole`, and one in `run` that was interrupted in its second epoch."""
    place = tmp_path_factory.mktemp("made") / "place"
    make_images(place / "images")
    run(request(place, streamed), Silent())
    (place / "run").rename(place / "whole")
    with pytest.raises(Interrupted):
        run(request(place, streamed), Silent(signalled_at(4, signal.SIGTERM)))
    shutil.copytree(place, place.with_name("kept"))
    return place


@pytest.fixture
def place(made):
    """What was made, where it was made, as it was before the last test changed it."""
    shutil.rmtree(made)
    shutil.copytree(made.with_name("kept"), made)
    _open_once.cache_clear()
    return made


def replace_image(path):
    Image.fromarray(np.full((20, 20, 3), 7, dtype=np.uint8)).save(path)


def flip_a_bit_unseen(path):
    """As a disk or a careless copy does: the file says that it is as old and as large as before."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "replaced": (replace_image, 20, r"the data \(of train 1[0-9] are new or changed and 1[0-9] are gone\)"),
    "removed": (
        os.unlink,
        10,
        r"the data \(train: 2\d → 1\d images; .*of train \d+ are new or changed and \d+ are gone\)",
    ),
    "of val alone": (replace_image, 0, r"the data \(images of val or test\)"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_data_are_told_and_put_back_the_run_goes_on(place, streamed, change):
    do, num, said = CHANGES[change]
    shutil.copytree(place / "images", place / "kept")
    paths = [place / "images" / "class_0" / f"{number}.png" for number in range(0, 2 * num, 2)]
    for path in paths or [find_val_image(place, streamed)]:
        do(path)
    with pytest.raises(ConfigError, match=f"holds another run, which differs in {said}"):
        run(request(place, streamed), Silent())
    shutil.rmtree(place / "images")
    shutil.copytree(place / "kept", place / "images", copy_function=shutil.copy2)
    assert_goes_on(place, streamed)


def find_val_image(place, streamed):
    data = open_data(request(place, streamed).experiment)
    return place / "images" / data.name_image(int(data.val[0]))


def assert_goes_on(place, streamed):
    listener = Silent()
    run(request(place, streamed), listener)
    assert listener.first_step == 4
    assert_same_run(place / "run", place / "whole")


def test_data_that_are_gone_are_told(place, streamed):
    (place / "images").rename(place / "kept")
    with pytest.raises(ConfigError, match=r"data\.root=.*images"):
        run(request(place, streamed), Silent())
    (place / "kept").rename(place / "images")
    assert_goes_on(place, streamed)


def test_a_bit_that_flipped_unseen_in_the_data_that_are_read_is_told(place, streamed):
    store = next((place / "cache" / "stores").glob("*/pixels.u8"), None)
    damaged = place / "images" / "class_0" / "0.png" if streamed else store
    kept = damaged.read_bytes()
    flip_a_bit_unseen(damaged)
    _open_once.cache_clear()
    with pytest.raises(ConfigError, match=r"\d+ of 40 images were changed since this run began, such as class_"):
        run(request(place, streamed), Silent())
    if streamed:
        before = damaged.stat()
        damaged.write_bytes(kept)
        os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        shutil.rmtree(store.parent)
    assert_goes_on(place, streamed)


def test_data_in_another_place_and_an_empty_cache_change_no_bit(place, streamed):
    """All files are newer than the run then, and are read again."""
    shutil.copytree(place / "images", place / "copied", copy_function=shutil.copy2)
    shutil.rmtree(place / "images")
    (place / "copied").rename(place / "images")
    shutil.rmtree(place / "cache")
    assert_goes_on(place, streamed)
