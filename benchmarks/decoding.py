"""How fast decoders of JPEGs are on photographs of 500 × 375 px, whole and at half their size, and how far pixels differ.

Run as `python -m benchmarks.decoding`. On one thread, by the processor's time, in turns; the photographs are scikit-image's,
written with the usual subsampling of colours at quality 90. "Ours" is `data/decode.py`, without the extra `turbo`, to which
all are compared, and with it. A decoder that is not installed has no row: PyTurboJPEG needs the system's libturbojpeg.
"""

import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
import torchvision
from PIL import Image

from sota_exp.data.decode import decode_image, decode_upright
from sota_exp.data.open_image import open_image

#: Width and height in pixels, as of most of ImageNet's photographs, and their number of each picture.
SIZE, NUM_CUTS = (500, 375), 4

#: Rounds of all decoders in turn.
ROUNDS = 15

Decoder = Callable[[Path, int], np.ndarray]


def write_photographs(folder: Path) -> list[Path]:
    """Cuts of photographs as JPEGs."""
    paths = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        whole = Image.fromarray(getattr(skimage.data, name)())
        for cut in range(NUM_CUTS):
            left, top = whole.width * cut // 16, whole.height * cut // 16
            part = whole.crop((left, top, left + whole.width * 3 // 4, top + whole.height * 3 // 4))
            paths.append(folder / f"{name}-{cut}.jpg")
            part.resize(SIZE, Image.Resampling.LANCZOS).save(paths[-1], quality=90)
    return paths


def decode_without_extra(path: Path, step: int) -> np.ndarray:
    with open_image(path) as image:
        if step > 1:
            image.draft("RGB", (image.width // step, image.height // step))
        return decode_upright(image).pixels.permute(1, 2, 0).numpy()


def decode_with_extra(path: Path, step: int) -> np.ndarray:
    return decode_image(path, step).permute(1, 2, 0).numpy()


def decode_with_pillow(path: Path, step: int) -> np.ndarray:
    """Pillow without what `data/decode.py` looks after: orientation, transparency, bits."""
    with Image.open(path) as image:
        if step > 1:
            image.draft("RGB", (image.width // step, image.height // step))
        return np.array(image.convert("RGB"))


def decode_with_torchvision(path: Path, step: int) -> np.ndarray:
    """At full size alone: it has no reduced one."""
    content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    mode = torchvision.io.ImageReadMode.RGB
    return torchvision.io.decode_jpeg(content, mode).permute(1, 2, 0).numpy()


def build_simplejpeg(package: Any, is_fast: bool) -> Decoder:
    def decode(path: Path, step: int) -> np.ndarray:
        sides = {"min_height": SIZE[1] // step, "min_width": SIZE[0] // step} if step > 1 else {}
        decoded: np.ndarray = package.decode_jpeg(path.read_bytes(), fastdct=is_fast, fastupsample=is_fast, **sides)
        return decoded

    return decode


def build_turbojpeg(package: Any) -> Decoder:
    decoder = package.TurboJPEG()

    def decode(path: Path, step: int) -> np.ndarray:
        decoded: np.ndarray = decoder.decode(path.read_bytes(), pixel_format=package.TJPF_RGB, scaling_factor=(1, step))
        return decoded

    return decode


def list_decoders() -> dict[str, Decoder]:
    """Those that are installed."""
    found: dict[str, Decoder] = {
        "ours": decode_without_extra,
        "Pillow alone": decode_with_pillow,
        "torchvision.io.decode_jpeg": decode_with_torchvision,
    }
    builders: dict[str, tuple[str, Callable[[Any], Decoder]]] = {
        "ours, with the extra": ("simplejpeg", lambda package: decode_with_extra),
        "simplejpeg": ("simplejpeg", lambda package: build_simplejpeg(package, False)),
        "simplejpeg, fast": ("simplejpeg", lambda package: build_simplejpeg(package, True)),
        "PyTurboJPEG": ("turbojpeg", build_turbojpeg),
    }
    for name, (module, build) in builders.items():
        try:
            found[name] = build(importlib.import_module(module))
        except (ImportError, RuntimeError):
            print(f"{name}: not installed", file=sys.stderr)
    return found


def measure(paths: list[Path], decoders: dict[str, Decoder], step: int) -> list[tuple[str, float, float, int, float]]:
    """Name, µs an image, times as fast as ours without the extra, largest and mean difference of pixels in grey levels."""
    times: dict[str, list[float]] = {name: [] for name in decoders}
    for turn in range(ROUNDS):
        for name in list(decoders)[:: 1 if turn % 2 else -1]:
            began = time.process_time()
            for path in paths:
                decoders[name](path, step)
            times[name].append((time.process_time() - began) / len(paths))
    base = statistics.median(times["ours"])
    rows = []
    for name, decode in decoders.items():
        gaps = [np.abs(decode(path, step).astype(int) - decode_without_extra(path, step)) for path in paths]
        own, most = statistics.median(times[name]), max(int(gap.max()) for gap in gaps)
        rows.append((name, own * 1e6, base / own, most, float(np.mean([gap.mean() for gap in gaps]))))
    return rows


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    decoders = list_decoders()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photographs(Path(folder))
        kilobytes = statistics.mean(path.stat().st_size for path in paths) / 1000
        print(f"{len(paths)} photographs of {SIZE[0]} × {SIZE[1]} px, {kilobytes:.0f} kB each\n")
        print("| decoder | size | µs of a core | times as fast | largest difference | mean difference |")
        print("|---|---|---|---|---|---|")
        for step, size in ((1, "whole"), (2, "half")):
            able = {name: decode for name, decode in decoders.items() if step == 1 or "torchvision" not in name}
            for name, micros, ratio, most, mean in measure(paths, able, step):
                print(f"| {name} | {size} | {micros:.0f} | {ratio:.2f} | {most} | {mean:.3f} |", flush=True)


if __name__ == "__main__":
    main()
