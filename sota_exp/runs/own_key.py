"""Which runs are the user's own: those whose table of digests is signed with the user's key.

The key is made by the first run, in `~/.config/sota_exp/key`, which only the user can read. Copied to other machines,
it makes the runs of one the user's own on all. A run can be moved and renamed; a stranger cannot sign one.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

#: The environment variable that `--trust` sets to 1, for this process and those that it starts.
TRUST_VARIABLE = "SOTA_EXP_TRUST"

#: The name of the signature among the names of files in the table.
SIGNATURE = "signature"


def get_key_path() -> Path:
    """The file of the key."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "sota_exp" / "key"


def sign(table: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The table, name of a file → digests, with its signature; without one where no key can be made."""
    unsigned = {name: digests for name, digests in table.items() if name != SIGNATURE}
    key = _read_key(get_key_path(), may_make=True)
    return unsigned | ({SIGNATURE: [_compute(key, unsigned)]} if key else {})


def is_signed(table: Mapping[str, list[str]]) -> bool:
    """Whether the signature of the table was made with the user's key."""
    key, given = _read_key(get_key_path(), may_make=False), table.get(SIGNATURE)
    unsigned = {name: digests for name, digests in table.items() if name != SIGNATURE}
    return bool(key and given) and hmac.compare_digest(
        str(given and given[0]).encode(), _compute(key, unsigned).encode()
    )


def _compute(key: bytes, table: Mapping[str, list[str]]) -> str:
    return hmac.new(key, json.dumps(table, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _read_key(path: Path, may_make: bool) -> bytes:
    """The key; empty where there is none and none can be made."""
    with suppress(OSError):
        if may_make and not path.exists():
            _make_key(path)
        return path.read_bytes()
    return b""


def _make_key(path: Path) -> None:
    """Write a new key, unless another process is faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".key.{secrets.token_hex(6)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
