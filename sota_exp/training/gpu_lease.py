"""One job a GPU: jobs on one machine that name no GPU take a free one each, and wait while there is none.

A GPU is held by a lock on a file in the folder for temporary files, until the job or its process ends. Jobs that can't
wait for another GPU, as torchrun's processes, hold theirs too, so that others take another one. A look before training
takes a free GPU and holds none.
"""

import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

#: Seconds between two looks for a free GPU.
SECONDS_BETWEEN_LOOKS = 1.0

_held: dict[str, FileLock] = {}


def lease_gpu(identities: Sequence[str], folder: Path | None = None) -> int:
    """The index of a GPU that no other process holds; this one keeps it until `release_gpus`. Waits, and says so.

    identities: of the GPUs of this machine that the process sees. folder: of the locks.
    """
    is_told = False
    while (index := _find_free(identities, folder)) is None:
        if not is_told:
            told = "%s in use by other jobs of sota-exp: waiting; runtime.device=cuda:0 shares one"
            log.warning(told, _count_in_words(identities))
            is_told = True
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return index


def find_free_gpu(identities: Sequence[str], folder: Path | None = None) -> int:
    """The index of a GPU that no other process holds, which is not kept; the first, with a warning, if all are held."""
    held_before = {*_held}
    index = _find_free(identities, folder)
    for identity in {*_held} - held_before:
        _held.pop(identity).release()
    if index is None:
        told = "%s in use by other jobs of sota-exp: sharing one, so steps take longer than in a training alone"
        log.warning(told, _count_in_words(identities))
    return index or 0


def hold_gpu(identity: str, folder: Path | None = None) -> bool:
    """Keep a GPU from jobs that look for one, until `release_gpus`; returns whether no other process held it."""
    return _find_free([identity], folder) is not None


def _find_free(identities: Sequence[str], folder: Path | None) -> int | None:
    """The index of a GPU that this process holds, else of one that it could take and now holds; None if there is none.

    folder: of the locks; None: that of temporary files.
    """
    for index, identity in enumerate(identities):
        if identity in _held:
            return index
    for index, identity in enumerate(identities):
        if (lock := _try_to_hold(identity, folder or Path(tempfile.gettempdir()))) is not None:
            _held[identity] = lock
            return index
    return None


def _count_in_words(identities: Sequence[str]) -> str:
    return "the GPU is" if len(identities) == 1 else f"all {len(identities)} GPUs are"


def release_gpus() -> None:
    """Let others have the GPU after a job: its process may wait for other jobs, as a study and joblib's workers do."""
    while _held:
        _held.popitem()[1].release()


def _try_to_hold(identity: str, folder: Path) -> FileLock | None:
    lock = FileLock(folder / f"sota-exp-gpu-{identity}.lock", timeout=0, mode=0o666, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except OSError:  # a folder that can't be written to: nothing is known of other jobs
        log.warning("%s can't be written to, so other jobs may use the same GPU", folder)
    return lock
