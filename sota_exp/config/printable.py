"""Text from outside as it may be printed: names of files and classes can contain control characters and any bytes."""

import logging
import unicodedata

#: Categories of control characters and of bytes that are not UTF-8, and signs that change the direction of all text.
HIDDEN_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def make_printable(text: str, kept: str = "") -> str:
    r"""The text with escapes for control characters and undecodable bytes: `\n`, `\xff`. kept: signs that stay."""
    return "".join(_escape(sign) if _is_hidden(sign) and sign not in kept else sign for sign in text)


def make_decodable(text: str) -> str:
    r"""The text with escapes for undecodable bytes alone, `\xff`: for files in UTF-8, which keep every other sign."""
    return "".join(_escape(sign) if unicodedata.category(sign) == "Cs" else sign for sign in text)


def is_utf8(text: str) -> bool:
    """Whether the text contains no bytes of another encoding, which Python reads as surrogates."""
    return not any("\udc80" <= sign <= "\udcff" for sign in text)


def _is_hidden(sign: str) -> bool:
    return unicodedata.category(sign) in HIDDEN_CATEGORIES or sign in DIRECTIONS


def _escape(sign: str) -> str:
    """A byte that is not UTF-8 is in Python's text U+DC00 plus the byte."""
    if 0xDC80 <= ord(sign) <= 0xDCFF:
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode()


class PrintableFormatter(logging.Formatter):
    """Formats log messages without control characters; conf/hydra/job_logging uses it."""

    def format(self, record: logging.LogRecord) -> str:
        return make_printable(super().format(record), kept="\n\t")
