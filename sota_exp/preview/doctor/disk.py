"""Check of the disk: free space and permission to write for runs, decoded images and downloaded weights."""

import os
import shutil
import tempfile
from pathlib import Path

from sota_exp.preview.doctor.finding import Finding, in_bytes, note, ok, problem

#: Free bytes below which short runs may fill the disk, and below which long ones may.
TOO_LITTLE, LITTLE = 10**9, 10**10


def places(runs: Path, cache: Path) -> list[Finding]:
    """Findings on the directory of the runs and on the cache of decoded images."""
    return [
        room("runs in", runs, "start in a directory on another disk, or set hydra.run.dir=DIR"),
        room("images in", cache, "set data.cache=DIR, or SOTA_EXP_CACHE=DIR"),
    ]


def room(what: str, place: Path, elsewhere: str) -> Finding:
    """Whether `place`, which need not exist yet, can be written, and its free space. elsewhere: the fix."""
    folder = nearest(place)
    if not is_writable(folder):
        return problem("disk", f"{what} {place}: it cannot be written to", elsewhere)
    free = shutil.disk_usage(folder).free
    text = f"{what} {place}: {in_bytes(free)} free"
    if free < TOO_LITTLE:
        return problem("disk", text, f"remove what is not needed, or {elsewhere}")
    return note("disk", text, "long studies need more") if free < LITTLE else ok("disk", text)


def nearest(place: Path) -> Path:
    """`place`, or the nearest folder above it that exists."""
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def is_writable(folder: Path) -> bool:
    """Whether a file can be created in an existing folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def size(folder: Path) -> int:
    """Bytes of all files in and below a folder; 0 if it does not exist."""
    num_bytes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            num_bytes += path.stat().st_size if path.is_file() else 0
    return num_bytes


def weights(torch_home: Path, hub_home: Path) -> list[Finding]:
    """Findings on the caches of torchvision's and timm's weights: permission to write, and contents."""
    found = []
    for library, place, variable, pattern in (
        ("torchvision", torch_home / "hub" / "checkpoints", "TORCH_HOME", "*.pth"),
        ("timm", hub_home / "hub", "HF_HOME", "models--*"),
    ):
        files = list(place.glob(pattern)) if place.is_dir() else []
        if not is_writable(nearest(place)):
            text = f"{library}: {place} cannot be written to, so no published weights can be downloaded"
            found.append(problem("weights", text, f"set {variable}=DIR"))
        else:
            held = f"{len(files)} published weights, {in_bytes(size(place))}" if files else "no published weights yet"
            found.append(ok("weights", f"{library}: {held} in {place}"))
    return found


def homes() -> tuple[Path, Path]:
    """The caches of torch and Hugging Face, by their own environment variables."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or caches / "torch")
    return torch_home.expanduser(), Path(os.environ.get("HF_HOME") or caches / "huggingface").expanduser()
