"""Users and passwords in addresses: kept in an environment variable, and out of everything that is written.

On the command line and in configurations `http://USER:PASSWORD@HOST` becomes `http://HOST`, and that of a database
becomes `postgresql://USER@HOST/DATABASE`, before a file, a log or a name is made of it. The variable reaches the
programs that this one starts; it is read where a connection is made.
"""

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from sota_exp.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: The variable: {address without credentials, up to its path: user:password}.
CREDENTIALS_VARIABLE = "SOTA_EXP_CREDENTIALS"

#: Scheme, credentials and host of an address. A password may have quotes, and / ? # where no port can be meant.
ADDRESS = re.compile(
    r"([A-Za-z][\w+.-]*)://"
    r"([^\s/?#:@'\"]*(?::(?:(?!://)[^\s/?#])*)?|[^\s/:@'\"]*:(?!\d+[/?#])(?:(?!://)[^\s])*)"
    r"@([^\s/?#,'\"@]*)"
)

#: What is no address of a server, but was meant as one with a password.
MISTYPED = re.compile(r"\bhttps?(?::/(?!/)|:?\\|//)[^\s]*@", re.I)

#: A password beside the host, which would be written.
IN_QUERY = re.compile(r"://[^\s]*?[?&](\w*password|passwd|pwd|token|access_token|api_key|secret|odbc_connect)=", re.I)


def hide_credentials(text: str) -> str:
    """The text without the credentials of its addresses, which are kept for `find_credentials`.

    The user of a database stays, since it is part of its name.

    Raises:
        ConfigError: an address has a password in its query, or is mistyped, so that it would be shown.
    """
    if MISTYPED.search(text):
        raise ConfigError(
            "an address with a user and a password begins with http:// or https://, and this one does not"
        )
    if "://" not in text:
        return text
    if found := IN_QUERY.search(text):
        raise ConfigError(f"an address has {found[1]}=… in its query; write it as SCHEME://USER:PASSWORD@HOST")
    return ADDRESS.sub(_keep_and_leave_out, text)


def _keep_and_leave_out(found: re.Match[str]) -> str:
    scheme, given, host = found[1], found[2], found[3]
    user, colon, _ = given.partition(":")
    is_http = scheme.lower() in ("http", "https")
    if not is_http and not colon:
        return found[0]
    address = f"{scheme}://{host}" if is_http else f"{scheme}://{user}@{host}"
    kept = _read_variable() | {address: given}
    os.environ[CREDENTIALS_VARIABLE] = json.dumps(kept)
    return address


def find_credentials(uri: str) -> tuple[str, str] | None:
    """User and password of an address as `hide_credentials` left it, with their `%HH` read; None without any."""
    from urllib.parse import unquote

    given = _read_variable().get(_get_beginning(uri))
    if given is None:
        return None
    user, _, password = given.partition(":")
    return unquote(user), unquote(password)


def reveal_credentials(uri: str) -> str:
    """The address of a database with its password again, to connect with and for nothing else."""
    beginning = _get_beginning(uri)
    given = _read_variable().get(beginning)
    if given is None:
        return uri
    scheme, _, rest = beginning.partition("://")
    user, _, password = given.partition(":")
    quoted = f"{user}:{re.sub('[@/?#]', lambda sign: f'%{ord(sign[0]):02X}', password)}"
    return f"{scheme}://{quoted}@{rest.rpartition('@')[2]}{uri.removeprefix(beginning)}"


def _get_beginning(uri: str) -> str:
    found = re.match(r"[A-Za-z][\w+.-]*://[^\s/?#]*", uri)
    return found[0] if found else ""


def _read_variable() -> dict[str, str]:
    found: dict[str, str] = json.loads(os.environ.get(CREDENTIALS_VARIABLE, "{}"))
    return found


def hide_in_values(values: Any) -> Any:
    """Nested plain values with `hide_credentials` of every text."""
    if isinstance(values, dict):
        return {key: hide_in_values(value) for key, value in values.items()}
    if isinstance(values, list):
        return [hide_in_values(value) for value in values]
    return hide_credentials(values) if isinstance(values, str) else values


def hide_in_config(config: "DictConfig") -> None:
    """`hide_in_values` in place, with interpolations as they are.

    Raises:
        ConfigError: see `hide_credentials`.
    """
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=False)
    _replace(config, values, hide_in_values(values))


def _replace(node: Any, before: Any, after: Any) -> None:
    """Set the texts in `node` that differ."""
    from omegaconf import read_write

    for key in before if isinstance(before, dict) else range(len(before)):
        if before[key] == after[key]:
            continue
        if isinstance(before[key], str):
            with read_write(node):
                node[key] = after[key]
        else:
            _replace(node[key], before[key], after[key])


def restart_without_credentials() -> None:
    """Start this program again, in the same process, if its arguments have credentials: others can read its arguments.

    Raises:
        ConfigError: see `hide_credentials`.
    """
    arguments = [hide_credentials(word) for word in sys.orig_argv]
    if arguments != sys.orig_argv and sys.platform != "win32":
        os.execv(sys.executable, arguments)
