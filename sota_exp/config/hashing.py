"""The hash of plain values that names places and fingerprints."""

import hashlib
import json


def digest(value: object, length: int = 16) -> str:
    """A hash of plain values, equal for equal content whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
