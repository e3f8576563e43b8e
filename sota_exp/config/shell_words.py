"""Commands as one types them: quoted where the shell or Hydra need it, and not elsewhere."""

import re
import shlex
from collections.abc import Iterable

#: Words that no shell changes.
PLAIN = re.compile(r"[\w@%+=:,./-]+")

#: What double quotes leave to the shell.
SPECIAL_IN_DOUBLE_QUOTES = '"$`\\!'

#: `key='value'` with a value that Hydra reads as the same text without quotes.
NEEDLESSLY_QUOTED = re.compile(r"(\+{0,2}[\w./-]+=)'(?!(?:null|true|false|nan|inf)')([a-z/][\w./-]*)'", re.IGNORECASE)


def join_command(words: Iterable[str]) -> str:
    """A command of these words."""
    return " ".join(map(quote_word, words))


def quote_word(word: str) -> str:
    """A word of a command: as it is, in double quotes where it has single ones, or in single quotes."""
    word = NEEDLESSLY_QUOTED.sub(r"\1\2", word) if NEEDLESSLY_QUOTED.fullmatch(word) else word
    if PLAIN.fullmatch(word):
        return word
    if "'" in word and not set(word) & set(SPECIAL_IN_DOUBLE_QUOTES):
        return f'"{word}"'
    return shlex.quote(word)
