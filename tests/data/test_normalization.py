"""Mean and standard deviation: of the train part alone, the same whether images are stored or streamed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sota_exp.data import normalization
from sota_exp.data.normalization import choose_images, compute_statistics, sum_pixels
from sota_exp.data.open import open_data
from sota_exp.stages.data import DataSet
from tests.experiments import TINY, composed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty JPEGs and PNGs of several sizes and brightnesses in two classes."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(40):
        place = root / f"class_{index % 2}"
        place.mkdir(exist_ok=True)
        pixels = rng.integers(6 * index + 1, size=(40 + index, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{index:02d}.{'png' if index % 3 else 'jpg'}")
    return root


def opened(folder: Path, *words: str) -> DataSet:
    tiny = [word for word in TINY if not word.startswith(("data=", "data.num", "data.m"))]
    cache = f"data.cache={folder.parent / 'cache'}"
    return open_data(composed("data=image_folder", f"data.root={folder}", cache, *tiny, *words).experiment)


def expected_of(data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.concatenate([data.images.image(index).flatten(1).numpy() for index in data.train.tolist()], axis=1)
    return pixels.mean(1) / 255, pixels.std(1) / 255


@pytest.mark.parametrize("words", [(), ("data.split_seed=3",), ("data.val_fraction=0.4", "data.test_fraction=0.3")])
def test_statistics_are_those_of_the_train_part_alone(folder: Path, words: tuple[str, ...]) -> None:
    data = opened(folder, *words)
    mean, std = expected_of(data)
    np.testing.assert_allclose(data.preprocessing.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(data.preprocessing.std, std, rtol=1e-9)


def test_val_and_test_have_no_part_in_them(folder: Path) -> None:
    assert len({opened(folder, f"data.split_seed={seed}").preprocessing for seed in range(3)}) == 3


@pytest.mark.parametrize("num_images", [5000, 7])
@pytest.mark.parametrize("max_side", ["null", "24"])
def test_the_same_files_have_the_same_statistics_stored_or_streamed(
    folder: Path, num_images: int, max_side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalization, "NUM_IMAGES", num_images)
    stored, streamed = (
        opened(folder, f"data.store_gigabytes={gigabytes}", f"data.max_side={max_side}") for gigabytes in (1, 0)
    )
    assert type(stored.images) is not type(streamed.images)
    assert stored.preprocessing == streamed.preprocessing


def test_the_same_files_have_the_same_digests_stored_or_streamed_or_reduced(folder: Path) -> None:
    first, *others = (
        opened(folder, *words).image_digests.tolist()
        for words in ((), ("data.store_gigabytes=0",), ("data.max_side=24",), ("data.split_seed=3",))
    )
    assert len(set(first)) == 40
    assert others == [first] * 3


def test_of_a_large_set_a_random_part_of_every_class_is_taken() -> None:
    train, labels = (
        np.arange(1000) * 2,
        np.arange(2000) // 2 % 4,
    )  # classes in turns: every fourth image is of one class
    chosen = choose_images(train, labels, 100)
    assert np.bincount(labels[chosen]).tolist() == [25] * 4
    assert set(chosen) <= set(train) and np.array_equal(chosen, choose_images(train, labels, 100))


def image_of(value: int) -> Any:
    return np.full((4, 4, 3), value, np.uint8)


def test_sums_are_exact_and_the_standard_deviation_is_never_zero() -> None:
    assert sum_pixels(image_of(200)).tolist() == [[3200] * 3, [640_000] * 3]
    assert compute_statistics(sum_pixels(image_of(200)), 16).std == (1 / 255,) * 3
    both = compute_statistics(sum_pixels(image_of(0)) + sum_pixels(image_of(255)), 32)
    assert both.mean == (0.5,) * 3 and both.std == (0.5,) * 3
