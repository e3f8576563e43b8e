"""Check of the disk: free space and permission to write for runs, decoded images and downloaded weights."""

import os
import shutil
import tempfile
from pathlib import Path

from sota_exp.config.data_paths import expand_home
from sota_exp.preview.doctor.finding import CheckResult, build_note, build_ok, build_problem
from sota_exp.report.numbers import format_quantity

#: Free bytes below which short runs may fill the disk, and below which long ones may.
MIN_FREE_BYTES, LOW_FREE_BYTES = 10**9, 10**10


def check_directories(runs: Path, cache: Path) -> list[CheckResult]:
    """Findings on the directory of the runs and on the cache of decoded images."""
    return [
        check_free_space("runs in", runs, "start in a directory on another disk, or set hydra.run.dir=DIR"),
        check_free_space("images in", cache, "set data.cache=DIR, or SOTA_EXP_CACHE=DIR"),
    ]


def check_free_space(what: str, place: Path, elsewhere: str) -> CheckResult:
    """Whether `place`, which need not exist yet, can be written, and its free space. elsewhere: the fix."""
    folder = find_existing_folder(place)
    if not is_writable(folder):
        return build_problem(f"{what} {place}: it cannot be written to", elsewhere)
    free = shutil.disk_usage(folder).free
    text = f"{what} {place}: {format_quantity(free, 'B')} free"
    if free < MIN_FREE_BYTES:
        return build_problem(text, f"remove what is not needed, or {elsewhere}")
    return build_note(text, "long studies need more") if free < LOW_FREE_BYTES else build_ok(text)


def find_existing_folder(place: Path) -> Path:
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


def check_weight_caches(torch_home: Path, hub_home: Path) -> list[CheckResult]:
    """Findings on the caches of torchvision's and timm's weights: permission to write, and contents."""
    found = []
    for library, place, variable, pattern in (
        ("torchvision", torch_home / "hub" / "checkpoints", "TORCH_HOME", "*.pth"),
        ("timm", hub_home / "hub", "HF_HOME", "models--*"),
    ):
        files = list(place.glob(pattern)) if place.is_dir() else []
        if not is_writable(find_existing_folder(place)):
            text = f"{library}: {place} cannot be written to, so no published weights can be downloaded"
            found.append(build_problem(text, f"set {variable}=DIR"))
        else:
            size = format_quantity(sum(path.stat().st_size for path in place.rglob("*") if path.is_file()), "B")
            held = f"{len(files)} published weights, {size}" if files else "no published weights yet"
            found.append(build_ok(f"{library}: {held} in {place}"))
    return found


def get_cache_directories() -> tuple[Path, Path]:
    """The caches of torch and Hugging Face, by their own environment variables."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or caches / "torch")
    return expand_home(torch_home), expand_home(os.environ.get("HF_HOME") or caches / "huggingface")
