"""simplejpeg gives the pixels of Pillow to the bit, and what is special in a file is left to Pillow."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from sota_exp.data import decode, fast_jpeg
from sota_exp.data.decode import decode_image
from sota_exp.data.members import Member
from sota_exp.data.store_writer import UnreadableImage

pytest.importorskip("simplejpeg")

PHOTOGRAPH = Image.fromarray(skimage.data.astronaut()).crop((100, 20, 401, 247))  # odd sides


def decode_with_pillow(path: Path | Member, step: int, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    with monkeypatch.context() as patch:
        patch.setattr(decode, "decode_fast", lambda file, step: None)
        return decode_image(path, step)


KINDS = {
    "plain": {},
    "low quality": {"quality": 20},
    "no subsampling": {"quality": 95, "subsampling": 0},
    "half subsampling": {"quality": 80, "subsampling": 1},
    "progressive": {"progressive": True, "quality": 60},
    "restarts": {"restart_marker_rows": 2},
}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("step", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_pillow(
    kind: str, step: int, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.jpg"
    for box in ((0, 0, 301, 227), (3, 5, 67, 6), (0, 0, 1, 1), (10, 10, 18, 18)):
        PHOTOGRAPH.crop(box).convert(mode).save(path, **KINDS[kind])
        expected = decode_with_pillow(path, step, monkeypatch)
        found = decode_image(path, step)
        assert torch.equal(found, expected) and found.stride() == expected.stride()


def test_ordinary_files_are_decoded_fast(tmp_path: Path) -> None:
    PHOTOGRAPH.save(tmp_path / "photo.jpg")
    for step in (1, 2, 4, 8):
        assert fast_jpeg.decode_fast(tmp_path / "photo.jpg", step) is not None


def test_a_member_is_decoded_as_a_file(tmp_path: Path) -> None:
    PHOTOGRAPH.save(tmp_path / "photo.jpg")
    content = (tmp_path / "photo.jpg").read_bytes()
    (tmp_path / "all.tar").write_bytes(b"before" + content + b"behind")
    member = Member(str(tmp_path / "all.tar"), "photo.jpg", 6, len(content))
    assert torch.equal(decode_image(member, 2), decode_image(tmp_path / "photo.jpg", 2))


def test_an_image_of_too_many_pixels_is_refused_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PHOTOGRAPH.save(tmp_path / "photo.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setenv("SOTA_EXP_MAX_PIXELS", "2000")
    with pytest.raises(UnreadableImage, match=r"more than 2,000, and was not decoded"):
        decode_image(tmp_path / "photo.jpg")


def special(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "turned":
        exif = PHOTOGRAPH.getexif()
        exif[0x0112] = 6
        PHOTOGRAPH.save(file, "JPEG", exif=exif)
    elif kind == "two pictures":
        PHOTOGRAPH.save(file, "MPO", save_all=True, append_images=[PHOTOGRAPH.rotate(90)])
    elif kind == "CMYK":
        PHOTOGRAPH.convert("CMYK").save(file, "JPEG")
    elif kind == "a PNG by another name":
        PHOTOGRAPH.save(file, "PNG")
    else:
        PHOTOGRAPH.save(file, "JPEG")
        content = bytearray(file.getvalue())
        at = len(content) // 2
        content[at : at + 20] = np.random.default_rng(0).bytes(20)
        return bytes(content)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["turned", "two pictures", "CMYK", "a PNG by another name", "damaged inside"])
@pytest.mark.parametrize("step", [1, 2])
def test_special_files_are_as_pillow_reads_them(
    kind: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(special(kind))
    assert torch.equal(decode_image(path, step), decode_with_pillow(path, step, monkeypatch))


def test_a_cut_file_is_refused_as_before(tmp_path: Path) -> None:
    PHOTOGRAPH.save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:-2000])
    with pytest.raises(UnreadableImage, match=r"photo\.jpg can't be read as an image: .*truncated"):
        decode_image(tmp_path / "photo.jpg")
