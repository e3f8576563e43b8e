"""The empty `result.json` of a run with versions and commit, and which epoch's weights a result is of."""

import functools
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sota_exp import PACKAGE
from sota_exp.config.formats import FILE_FORMAT


@functools.cache
def get_versions() -> dict[str, str]:
    """Package → version, for Python and the packages that affect the numbers."""
    packages = ("sota-exp", "torch", "torchvision", "timm", "numpy", "hydra-core")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


@functools.cache
def get_commit() -> str | None:
    """The git commit of this package's checkout, else of the working directory, with `-dirty` for changed files.

    None outside a repository.
    """
    place = PACKAGE if _run_git(PACKAGE, "ls-files", "--error-unmatch", "__init__.py") else Path.cwd()
    return _run_git(place, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*") or None


def _run_git(place: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True, cwd=place)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def build_empty_result(seed: int, choices: dict[str, str], fingerprints: tuple[str, str]) -> dict[str, Any]:
    """A result without metrics, with all keys of `result.json` in order. fingerprints: (training, run)."""
    return {
        "format": FILE_FORMAT,
        "status": "failed",
        "reason": None,
        "fingerprint": fingerprints[1],
        "training_fingerprint": fingerprints[0],
        "seed": seed,
        "choices": choices,
        "metrics": {},
        "saved_epoch": None,
        "evaluated_images": {},
        "image_digests": {},
        "steps": 0,
        "images_seen": 0,
        "distinct_images": 0,
        "start": None,
        "resumed": 0,
        "seconds": {},
        "images_per_second": None,
        "peak_memory_bytes": None,
        "parameters": None,
        "flops_per_image": None,
        "train_flops_per_image": None,
        "device": None,
        "versions": get_versions(),
        "commit": get_commit(),
    }


def is_evaluation(result: dict[str, Any]) -> bool:
    """Whether `sota-exp evaluate` wrote the result, which then names the weights and says nothing of a training."""
    return "weights" in result


def count_epochs_from_one(result: dict[str, Any]) -> dict[str, Any]:
    """A result as it is in its file, with its epochs counted from 1: up to format 2 they are counted from 0."""
    metrics, saved = result.get("metrics") or {}, result.get("saved_epoch")
    if result.get("format", 1) > 2 or "best/epoch" not in metrics:
        return result
    found = result | {"metrics": metrics | {"best/epoch": metrics["best/epoch"] + 1}}
    return found if saved is None else found | {"saved_epoch": saved + 1}


def get_saved_epoch(result: dict[str, Any]) -> int:
    """The epoch of the saved weights, from 1; results of older versions say the best one alone."""
    saved = result.get("saved_epoch")
    return int(result["metrics"]["best/epoch"] if saved is None else saved)


def describe_saved_epoch(result: dict[str, Any]) -> str:
    """Which epoch's weights are saved: the best on val, or the last with `evaluation.select=last`."""
    best, saved = result["metrics"]["best/epoch"], get_saved_epoch(result)
    if saved == best:
        return f"epoch {best} was best on val"
    return f"epoch {saved}, the last (evaluation.select=last)"
