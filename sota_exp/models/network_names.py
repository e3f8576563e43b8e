"""Names of the networks of torchvision and timm, read from their source files: importing either takes seconds."""

import functools
import importlib.util
import re
from pathlib import Path

#: The first line of a function that a library registers as a network; decorators may stand between.
REGISTERED = re.compile(rb"^@register_model\b[^\n]*\n(?:@[^\n]*\n)*def (\w+)", re.MULTILINE)


@functools.cache
def list_networks(library: str) -> frozenset[str]:
    """Names of the classification networks of `torchvision` or `timm`."""
    spec = importlib.util.find_spec(library)
    assert spec is not None and spec.origin is not None, library
    files = (Path(spec.origin).parent / "models").glob("*.py")
    return frozenset(found.decode() for file in files for found in REGISTERED.findall(file.read_bytes()))
