"""Check of the packages: whether those that this version requires are installed, and whether torchvision fits torch."""

import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement

from sota_exp.preview.doctor.finding import Finding, ok, problem

#: Packages whose versions influence results.
DECISIVE = ("torch", "torchvision", "timm", "hydra-core", "optuna", "mlflow")


def packages() -> list[Finding]:
    """One finding if all requirements are met, else one per package that is missing or has another version."""
    needed = [Requirement(text) for text in metadata.requires("sota-exp") or []]
    unmet = list(unmet_of(needed))
    return [*unmet, *pair()] if unmet else [as_asked(needed), *pair()]


def as_asked(needed: Iterable[Requirement]) -> Finding:
    """The finding if all requirements are met."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in DECISIVE)
    num = sum(is_asked_for(requirement) for requirement in needed)
    return ok("packages", f"Python {platform.python_version()}, {versions}; all {num} as required")


def is_asked_for(requirement: Requirement) -> bool:
    """Whether the requirement belongs to the installation without extras, on this system."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def unmet_of(needed: Iterable[Requirement]) -> Iterable[Finding]:
    """One problem per requirement of the installation without extras that is not met."""
    for requirement in needed:
        if not is_asked_for(requirement):
            continue
        fix = f"{sys.executable} -m pip install '{requirement.name}{requirement.specifier}'"
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield problem("packages", f"{requirement.name} is not installed", fix)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield problem("packages", f"{requirement.name} is {version}, not {requirement.specifier}", fix)


def pair() -> list[Finding]:
    """A problem if torchvision does not work with torch: only then its own operators cannot be imported."""
    fix = f"{sys.executable} -m pip install --force-reinstall torch torchvision"
    try:
        from torchvision.ops import nms
    except (ImportError, RuntimeError, OSError) as error:
        return [problem("packages", f"torchvision does not work with this torch: {error}", fix)]
    assert callable(nms)
    return []
