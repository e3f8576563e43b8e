import ctypes
import sys
from typing import Any

import pytest
import torch

from sota_exp.training import memory


def test_glibc_listens() -> None:
    assert memory.reuse_freed_memory() == sys.platform.startswith("linux")


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_other_systems_and_libraries_are_left_as_they_are(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def library_without_mallopt(name: Any) -> object:
        return object()

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", library_without_mallopt)
    assert not memory.reuse_freed_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forgets a peak")
def test_a_peak_is_forgotten_and_measured_anew():
    cpu = torch.device("cpu")
    memory.reset_peak_memory(cpu)
    before = memory.get_peak_memory(cpu)
    large = torch.ones(2**28, dtype=torch.uint8)
    assert memory.get_peak_memory(cpu) >= before + 0.9 * 2**28
    del large
    memory.reset_peak_memory(cpu)
    assert memory.get_peak_memory(cpu) <= before + 0.1 * 2**28
