"""One thread and a cache of its own for every test run, so that tests neither wait for nor find what another left."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`SOTA_EXP_CACHE`, for this process and those it starts."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOTA_EXP_CACHE", str(cache))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield cache
