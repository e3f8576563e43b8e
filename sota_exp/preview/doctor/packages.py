"""Check of the packages: whether those that this version requires are installed, and whether torchvision fits torch."""

import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement

from sota_exp.preview.doctor.finding import CheckResult, build_ok, build_problem

#: Packages whose versions influence results.
NAMED_PACKAGES = ("torch", "torchvision", "timm", "hydra-core", "optuna", "mlflow")


def check_packages() -> list[CheckResult]:
    """One finding if all requirements are met, else one per package that is missing or has another version."""
    needed = [Requirement(text) for text in metadata.requires("sota-exp") or []]
    if unmet := list(find_unmet_requirements(needed)):
        return [*unmet, *check_torchvision()]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in NAMED_PACKAGES)
    num = sum(is_required(requirement) for requirement in needed)
    return [build_ok(f"Python {platform.python_version()}, {versions}; all {num} as required"), *check_torchvision()]


def is_required(requirement: Requirement) -> bool:
    """Whether the requirement belongs to the installation without extras, on this system."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def find_unmet_requirements(needed: Iterable[Requirement]) -> Iterable[CheckResult]:
    """One problem per requirement of the installation without extras that is not met."""
    for requirement in needed:
        if not is_required(requirement):
            continue
        fix = f"{sys.executable} -m pip install '{requirement.name}{requirement.specifier}'"
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield build_problem(f"{requirement.name} is not installed", fix)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield build_problem(f"{requirement.name} is {version}, not {requirement.specifier}", fix)


def check_torchvision() -> list[CheckResult]:
    """A problem if torchvision does not work with torch: only then its own operators cannot be imported."""
    fix = f"{sys.executable} -m pip install --force-reinstall torch torchvision"
    try:
        from torchvision.ops import nms
    except (ImportError, RuntimeError, OSError) as error:
        return [build_problem(f"torchvision does not work with this torch: {error}", fix)]
    assert callable(nms)
    return []
