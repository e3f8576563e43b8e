"""What happens to files: eight ways to damage one."""

import random
from collections.abc import Callable
from pathlib import Path

RANDOM = random.Random(0)


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[RANDOM.randrange(len(content))] ^= 1 << RANDOM.randrange(8)
    path.write_bytes(content)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(RANDOM.randbytes(path.stat().st_size)),
    "another type": lambda path: path.write_text("[1, 2]\n"),
    "a folder": become_folder,
    "a flipped bit": flip_bit,
    "deleted": Path.unlink,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
}
