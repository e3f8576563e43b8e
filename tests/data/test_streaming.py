import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sota_exp.config.build import build
from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment
from sota_exp.config.fingerprint import compute_training_fingerprint
from sota_exp.data.decode import decode_image
from sota_exp.data.listing import ListingWriter
from sota_exp.data.listing_state import read_state
from sota_exp.data.open import open_data
from sota_exp.data.resize import center_crop, cut_boxes, resized_crop
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.data.stream_index import StreamIndex, read_file_facts
from sota_exp.data.streaming import StreamedImages, estimate_decoded_bytes
from sota_exp.errors import RunFailed
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training.distributed import World
from sota_exp.training.loop import EpochRecord, fit, start_training
from sota_exp.training.session import open_session
from tests.experiments import TINY, composed


def picture(seed: int, height: int, width: int) -> Image.Image:
    """A smooth image like a photograph, which JPEG changes little."""
    coarse = np.random.default_rng(seed).integers(256, size=(3, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images of four classes: JPEGs, some of them rotated, and every seventh a PNG."""
    root = tmp_path_factory.mktemp("pictures")
    for index in range(60):
        place = root / f"class_{index % 4}"
        place.mkdir(exist_ok=True)
        image = picture(index, 60 + index % 3 * 70, 90)
        if index % 7 == 0:
            image.save(place / f"{index:02d}.png")
            continue
        exif = image.getexif()
        exif[0x0112] = 6 if index % 5 == 0 else 1
        image.save(place / f"{index:02d}.jpg", quality=95, exif=exif)
    return root


def streamed(path: Path, height: int, width: int) -> StreamedImages:
    """A streamed set of one file of this size."""
    listed = ListingWriter(path.parent)
    listed.add([path.name], [read_state(path)], ["a"], 0)
    return StreamedImages(listed.finish(), StreamIndex(np.array([[height, width]]), None, {}, np.zeros(1), []))


def of_folder(folder: Path, *overrides: str) -> Configuration:
    left_out = ("data=fake", "data.num", "data.min_side", "data.max_side")
    tiny = [item for item in TINY if not item.startswith(left_out)]
    return composed(
        "data=image_folder", f"data.root={folder}", f"data.cache={folder.parent / 'cache'}", *tiny, *overrides
    )


def opened(folder: Path, store_gigabytes: str, *overrides: str) -> Any:
    return open_data(of_folder(folder, f"data.store_gigabytes={store_gigabytes}", *overrides).experiment)


def test_a_set_above_the_budget_is_streamed_and_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stored = opened(folder, "1")
        assert caplog.messages == []
        streamed = opened(folder, "0.0001")
    (said,) = caplog.messages
    assert "is streamed: decoded it would take 0.00" in said and "data.store_gigabytes=0.0001" in said
    assert isinstance(streamed.images, StreamedImages) and not isinstance(stored.images, StreamedImages)
    for name in ("labels", "train", "val", "test"):
        assert torch.equal(vars(streamed)[name], vars(stored)[name])
    assert streamed.classes == stored.classes and streamed.digest != stored.digest
    assert streamed.digest == opened(folder, "0").digest
    pairs = [(index, stored.images.size(index)) for index in range(60)]
    assert all(streamed.images.size(index) == size for index, size in pairs)


def test_the_decoded_size_is_estimated_from_headers(folder: Path) -> None:
    found = sorted(folder.rglob("*.*"))
    images = [type("F", (), {"path": path})() for path in found]
    exact = sum(decode_image(path).numel() for path in found)
    assert estimate_decoded_bytes(images, None) == exact
    assert estimate_decoded_bytes(images, 30) < exact / 3


@pytest.mark.parametrize("size", [70, 200])
def test_crops_without_reduction_are_those_of_the_store(folder: Path, size: int) -> None:
    stored, streamed = opened(folder, "1").images, opened(folder, "0").images
    indices = torch.arange(60)
    assert torch.equal(center_crop(streamed, indices, size, size), center_crop(stored, indices, size, size))
    boxes = torch.tensor([[1, 2, 50, 58]]).repeat(60, 1)
    assert torch.equal(resized_crop(streamed, indices, boxes, size), resized_crop(stored, indices, boxes, size))


def test_crops_of_a_reduced_jpeg_show_the_same_image(folder: Path) -> None:
    stored, streamed = opened(folder, "1").images, opened(folder, "0").images
    indices, boxes = torch.arange(60), torch.tensor([[3, 5, 53, 51]]).repeat(60, 1)
    assert any(streamed.read_reduced(index, 4.0).shape != streamed.image(index).shape for index in range(60))
    whole = (center_crop(streamed, indices, 14, 12).float() - center_crop(stored, indices, 14, 12).float()).abs()
    assert whole.mean() < 3
    # The edges of a box move by up to half a reduced pixel, and these pictures change by forty levels from pixel to
    # pixel.
    boxed = (
        resized_crop(streamed, indices, boxes, 12).float() - resized_crop(stored, indices, boxes, 12).float()
    ).abs()
    other = (resized_crop(stored, indices, boxes + torch.tensor([4, 4, 0, 0]), 12).float()).sub_(
        resized_crop(stored, indices, boxes, 12).float()
    )
    assert boxed.mean() < other.abs().mean() / 2


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.9, 2.0, 3.0, 5.0, 100.0])
def test_a_reduced_image_is_never_smaller_than_requested(folder: Path, factor: float) -> None:
    images = opened(folder, "0").images
    for index in range(12):
        height, width = images.size(index)
        _, h, w = images.read_reduced(index, factor).shape
        least = max(factor, 1.0)
        assert height / least - 1 <= h <= height and width / least - 1 <= w <= width


def losses(found: Configuration) -> list[float]:
    experiment = found.experiment
    session = open_session(experiment, open_data(experiment), World(), torch.device("cpu"))
    records = fit(session, start_training(session))
    return [record.metrics["train/loss"] for record in records if isinstance(record, EpochRecord)]


def test_training_is_the_same_with_any_number_of_workers(folder: Path) -> None:
    first, *others = (
        losses(of_folder(folder, "data.store_gigabytes=0", "augmentation=torchvision", f"runtime.workers={num}"))
        for num in (0, 1, 2)
    )
    assert others == [first, first]


def test_the_budget_is_not_part_of_the_fingerprint(folder: Path) -> None:
    one, other = (of_folder(folder, f"data.store_gigabytes={budget}").values for budget in ("1", "2"))
    assert compute_training_fingerprint(one, {}) == compute_training_fingerprint(other, {})


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(UnreadableImage, match=r"broken\.jpg"):
        read_file_facts(tmp_path / "broken.jpg")
    picture(0, 40, 40).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    images = streamed(tmp_path / "cut.jpg", 40, 40)
    with pytest.raises(UnreadableImage, match=r"cut\.jpg"):
        images.read_reduced(0, 1.0)


def test_a_negative_budget_is_refused(folder: Path) -> None:
    with pytest.raises(Exception, match="store_gigabytes=-1.0 is not legal"):
        build(Experiment, of_folder(folder, "data.store_gigabytes=-1").values)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_rotated_file_has_the_size_of_its_pixels(kind: str, orientation: int, tmp_path: Path) -> None:
    image = picture(1, 40, 60)
    exif = image.getexif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{kind}"
    image.save(path, exif=exif)
    assert read_file_facts(path)[:2] == tuple(decode_image(path).shape[1:])


def test_a_multi_picture_file_is_reduced_like_a_jpeg(tmp_path: Path) -> None:
    first, second = picture(1, 240, 320), picture(2, 240, 320)
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    images = streamed(tmp_path / "a.jpg", 240, 320)
    assert images.read_reduced(0, 4.0).shape == (3, 60, 80)


def test_all_files_that_cannot_be_decoded_for_mean_and_std_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for index in range(24):
        (tmp_path / f"{index % 2}").mkdir(exist_ok=True)
        picture(index, 40, 40).save(tmp_path / f"{index % 2}" / f"{index}.jpg")
    cut = sorted(tmp_path.rglob("*.jpg"))[::2]
    for path in cut:
        path.write_bytes(path.read_bytes()[:-400])
    made = of_folder(tmp_path, "data.store_gigabytes=0")
    with pytest.raises(RunFailed, match=r"^\d+ files can't be read as images; fix or remove them"):
        open_data(made.experiment)
    named = [path for path in cut if f"{path} can't be read as an image" in caplog.text]
    assert len(named) > 6


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_is_named_in_one_line_in_every_command(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sota_exp.data.streaming.choose_images", lambda train, labels, num: train[:1])
    root = tmp_path / "pictures"
    for index in range(60):
        (root / f"class_{index % 4}").mkdir(parents=True, exist_ok=True)
        picture(index, 200, 300).save(root / f"class_{index % 4}" / f"{index:02d}.jpg", quality=95)
    broken = sorted(root.rglob("*.jpg"))[1:]
    for path in broken:
        path.write_bytes(path.read_bytes()[:-400])
    made = of_folder(root, "data.store_gigabytes=0", f"runtime.workers={workers}")
    session = open_session(made.experiment, open_data(made.experiment), World(), torch.device("cpu"))
    with pytest.raises(UnreadableImage, match=r"pictures/class_\d/\d\d\.jpg can't be read as an image: [^\n]*$"):
        list(fit(session, start_training(session)))


def test_statistics_are_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(folder, "0").preprocessing

    def never(sums: np.ndarray, num_pixels: int) -> Preprocessing:
        raise AssertionError("decoded again")

    monkeypatch.setattr("sota_exp.data.streaming.compute_statistics", never)
    assert opened(folder, "0").preprocessing == first
    with pytest.raises(AssertionError, match="decoded again"):
        opened(folder, "0", "data.split_seed=1")  # other training images


def test_a_crop_frees_the_memory_of_its_image(folder: Path) -> None:
    """A batch of large photographs must not be held in memory at once."""
    streamed = opened(folder, "0").images
    for box in cut_boxes(streamed, torch.arange(4), torch.tensor([[1, 2, 20, 22]]).repeat(4, 1), 64):
        assert box.untyped_storage().nbytes() == box.numel()


def test_several_views_decode_each_image_once_per_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = of_folder(folder, "data.store_gigabytes=0", "data.val_fraction=0.4").experiment
    session = open_session(experiment, open_data(experiment), World(), torch.device("cpu"))
    network, evaluator = session.network().eval(), session.evaluator
    views = [
        EvaluationView(resize=16, size=16),
        EvaluationView(resize=20, size=16),
        EvaluationView(resize=60, size=32),
        EvaluationView(resize=90, size=32),
    ]
    expected = torch.stack([evaluator.logits(network, "val", view).argmax(1) for view in views])
    images, asked = evaluator.data.images, []
    assert isinstance(images, StreamedImages)

    def counted(path: Path, step: int, white: int | None) -> Tensor:
        asked.append((str(path), step))
        return decode_image(path, step, white)

    monkeypatch.setattr("sota_exp.data.streaming.decode_image", counted)
    assert torch.equal(evaluator.predict_views(network, "val", views), expected)
    assert len(asked) == len(set(asked)) < len(views) * len(evaluator.data.val)
    pngs = [path for path, _ in asked if path.endswith("png")]
    assert len(pngs) == len(set(pngs)) > 0  # at any size the same
    assert {path for path, _ in asked} == {str(images.files.path(index)) for index in evaluator.data.val.tolist()}
