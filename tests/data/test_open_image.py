"""Images of too many pixels are refused by their header, in one line, wherever they come from."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sota_exp.cli import main
from sota_exp.data import open_image
from sota_exp.data.decode import decode_file, decode_image
from sota_exp.data.image_files import decode_split
from sota_exp.data.listing import ImageFile
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.data.stream_index import read_file_facts
from sota_exp.data.streaming import estimate_decoded_bytes
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.models.predict import plan_decoding

SIDE = 60_000


def write_png_bomb(path: Path, side: int = SIDE) -> Path:
    """A PNG of a few hundred bytes whose header tells `side` × `side` pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def write_jpeg_bomb(path: Path) -> Path:
    """A JPEG whose header tells 60,000 × 60,000 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format="jpeg")
    content = bytearray(file.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    path.write_bytes(content)
    return path


BOMBS = {"png": write_png_bomb, "jpg": write_jpeg_bomb}


@pytest.mark.parametrize("ending", BOMBS)
def test_a_bomb_is_refused_by_file_pixels_limit_and_what_allows_it(ending: str, tmp_path: Path) -> None:
    path = BOMBS[ending](tmp_path / f"bomb.{ending}")
    for read in (decode_file, decode_image, read_file_facts, lambda path: decode_file(path, 8)):
        with pytest.raises(UnreadableImage) as caught:
            read(path)
        line = str(caught.value)
        assert str(path) in line and "3,600,000,000 pixels" in line and "178,956,970" in line
        assert "SOTA_EXP_MAX_PIXELS=3600000000" in line and "\n" not in line
    assert plan_decoding(path, 32).pixels == 0
    assert estimate_decoded_bytes([ImageFile(path, "a", 0)], None) == 0


def test_a_data_set_of_another_package_is_refused_too() -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(file, format="png")
    with pytest.raises(RunFailed, match="200,000,000 pixels.*SOTA_EXP_MAX_PIXELS=200000000"):
        list(decode_split(lambda index: (Image.open(io.BytesIO(file.getvalue())), 0), 1, 0, None, "set", "of train"))


def test_the_limit_is_the_users(tmp_path: Path) -> None:
    Image.new("1", (199, 1)).save(tmp_path / "read.png")
    Image.new("1", (20, 10)).save(tmp_path / "refused.png")
    program = (
        "import sys, pathlib; from sota_exp.data.decode import decode_file\n"
        "for path in map(pathlib.Path, sys.argv[1:]): print(decode_file(path).pixels.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path / "read.png"), str(tmp_path / "refused.png")],
        env=os.environ | {"SOTA_EXP_MAX_PIXELS": "199", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and done.stdout.splitlines() == ["torch.Size([3, 1, 199])"]
    assert "SOTA_EXP_MAX_PIXELS=200" in done.stderr


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e9", ""])
def test_a_limit_that_is_no_number_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(open_image.LIMIT_VARIABLE, text)
    with pytest.raises(ConfigError, match=f"SOTA_EXP_MAX_PIXELS={text} is not legal"):
        open_image.read_limit()


def test_a_program_with_the_ending_of_an_image_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(out) (w) file\n%%EOF\n"
    path.write_text(text)
    with Image.open(path) as image:
        assert image.format == "EPS"
    with pytest.raises(UnreadableImage, match="in no image format that Pillow reads"):
        decode_file(path)


@pytest.mark.parametrize("store_gigabytes", [1, 0])
def test_training_on_a_folder_with_a_bomb_ends_in_one_line(
    store_gigabytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.full((20, 20, 3), number * 20, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    write_png_bomb(tmp_path / "photos/a/bomb.png")
    words = ["data=image_folder", "data.root=photos", "tracking=none", f"data.store_gigabytes={store_gigabytes}"]
    for command in ("train", "look"):
        assert main.run_command_line([command, *words]) == 1
        (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("sota-exp: ")]
        assert "photos/a/bomb.png" in line and "3,600,000,000 pixels" in line and "SOTA_EXP_MAX_PIXELS" in line
