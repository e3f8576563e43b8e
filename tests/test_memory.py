import ctypes
import sys
from typing import Any

import pytest

from sota_exp import memory


def test_glibc_listens() -> None:
    assert memory.keep_freed_memory() == sys.platform.startswith("linux")


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_other_systems_and_libraries_are_left_as_they_are(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def library_without_mallopt(name: Any) -> object:
        return object()

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", library_without_mallopt)
    assert not memory.keep_freed_memory()
