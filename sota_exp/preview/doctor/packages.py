"""Whether the packages that are installed are those that this version asks for, and whether torchvision fits torch."""

import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement

from sota_exp.preview.doctor.finding import Finding, ok, problem

#: Packages whose versions decide the numbers.
DECISIVE = ("torch", "torchvision", "timm", "hydra-core", "optuna", "mlflow")


def packages() -> list[Finding]:
    """One finding where all is well, else one for each package that is missing or of another version."""
    needed = [Requirement(text) for text in metadata.requires("sota-exp") or []]
    unmet = list(unmet_of(needed))
    return [*unmet, *pair()] if unmet else [as_asked(needed), *pair()]


def as_asked(needed: Iterable[Requirement]) -> Finding:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in DECISIVE)
    num = sum(is_asked_for(requirement) for requirement in needed)
    return ok("packages", f"Python {platform.python_version()}, {versions}; all {num} as asked for")


def is_asked_for(requirement: Requirement) -> bool:
    """Whether it belongs to the plain installation, on this system."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def unmet_of(needed: Iterable[Requirement]) -> Iterable[Finding]:
    """A problem for every requirement of the plain installation that is not met."""
    for requirement in needed:
        if not is_asked_for(requirement):
            continue
        mend = f"{sys.executable} -m pip install '{requirement.name}{requirement.specifier}'"
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield problem("packages", f"{requirement.name} is not installed", mend)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield problem("packages", f"{requirement.name} is {version}, not {requirement.specifier}", mend)


def pair() -> list[Finding]:
    """A problem where torchvision does not work beside torch: an operator of its own is there when they fit."""
    mend = f"{sys.executable} -m pip install --force-reinstall torch torchvision"
    try:
        from torchvision.ops import nms
    except (ImportError, RuntimeError, OSError) as error:
        return [problem("packages", f"torchvision does not work beside torch: {error}", mend)]
    assert callable(nms)
    return []
