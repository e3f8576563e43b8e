"""The hash of plain values, for names of directories and for fingerprints."""

import hashlib
import json


def compute_digest(value: object, length: int = 16) -> str:
    """The first `length` hexadecimal digits of a hash of plain values; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
