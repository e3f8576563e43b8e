"""Whether there is room, and leave to write, where runs, decoded images and downloaded weights lie."""

import os
import shutil
import tempfile
from pathlib import Path

from sota_exp.preview.doctor.finding import Finding, in_bytes, note, ok, problem

#: Bytes below which a short run may fill the disk, and below which long ones may.
TOO_LITTLE, LITTLE = 10**9, 10**10


def places(runs: Path, cache: Path) -> list[Finding]:
    """The working directory, which holds the runs, and the cache of decoded images."""
    return [
        room("runs in", runs, "start from a directory on another disk, or hydra.run.dir=DIR"),
        room("images in", cache, "data.cache=DIR, or SOTA_EXP_CACHE=DIR"),
    ]


def room(what: str, place: Path, elsewhere: str) -> Finding:
    """Whether a file can be written at `place`, which need not exist yet, and how many bytes are free there."""
    there = nearest(place)
    if not is_writable(there):
        return problem("disk", f"{what} {place}: it can't be written to", elsewhere)
    free = shutil.disk_usage(there).free
    said = f"{what} {place}: {in_bytes(free)} free"
    if free < TOO_LITTLE:
        return problem("disk", said, f"remove what is not needed, or {elsewhere}")
    return note("disk", said, "long studies need more") if free < LITTLE else ok("disk", said)


def nearest(place: Path) -> Path:
    """The place, or the nearest folder above it that exists."""
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def size(folder: Path) -> int:
    """Bytes of the files in and below a folder; 0 where there is none."""
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            found += path.stat().st_size if path.is_file() else 0
    return found


def weights(torch_home: Path, hub_home: Path) -> list[Finding]:
    """Where torchvision's and timm's published weights are kept once they are fetched, and how many are there."""
    found = []
    for library, place, variable, pattern in (
        ("torchvision", torch_home / "hub" / "checkpoints", "TORCH_HOME", "*.pth"),
        ("timm", hub_home / "hub", "HF_HOME", "models--*"),
    ):
        files = list(place.glob(pattern)) if place.is_dir() else []
        if not is_writable(nearest(place)):
            said = f"{library}: {place} can't be written to, so no published weights can be fetched"
            found.append(problem("weights", said, f"{variable}=DIR"))
        else:
            held = f"{len(files)} published weights, {in_bytes(size(place))}" if files else "no published weights yet"
            found.append(ok("weights", f"{library}: {held} in {place}"))
    return found


def homes() -> tuple[Path, Path]:
    """torch's and Hugging Face's caches, as their own environment variables place them."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or caches / "torch")
    return torch_home.expanduser(), Path(os.environ.get("HF_HOME") or caches / "huggingface").expanduser()
