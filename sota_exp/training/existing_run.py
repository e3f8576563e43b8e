"""What the directory of a run holds already: its result, its checkpoint, or another run, which is refused."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from sota_exp.config.fingerprint import format_differences
from sota_exp.config.formats import FILE_FORMAT, get_format
from sota_exp.errors import ConfigError, DamagedFile, convert_errors
from sota_exp.runs.digests import NAME as DIGESTS
from sota_exp.runs.digests import find_damaged, read_object
from sota_exp.runs.files import RunFiles
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.stages.data import DataSet
from sota_exp.training.listener import RunRequest
from sota_exp.training.same_data import describe_changed_data, require_unchanged_images

Read = TypeVar("Read")
log = logging.getLogger(__name__)


def read_existing(
    request: RunRequest, data: DataSet, prints: tuple[str, str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The result of the same run in its directory, if it is complete; else the checkpoint, if there is one.

    Raises:
        ConfigError: the directory holds another run, or the data are not those of its start.
        RunFailed: its files can't be read.
    """
    files = RunFiles(directory=request.directory)
    with convert_errors():
        previous = read_or_warn(files.result)
        complete = previous if previous is not None and previous["status"] in COMPLETE_STATUSES else {}
        is_done = complete.get("fingerprint") == prints[1] and is_sound(files)
        checkpoint = None if is_done else files.load_checkpoint()
        start = read_or_warn(lambda: read_object(files.directory / "start.json")) or {}
        require_same_run(
            files, request, prints[0], checkpoint or previous or {}, describe_changed_data(files, start, data)
        )
        if checkpoint is not None:
            require_unchanged_images(files, start, data)
    return (complete, None) if is_done else (None, checkpoint)


def is_sound(files: RunFiles) -> bool:
    """Whether no file of a finished run is damaged; else a warning says which, and the run is finished again."""
    damaged = [path for path in find_damaged(files.directory) if path not in files.checkpoints]
    if damaged:
        log.warning(
            "%s: damaged or missing; the run is finished again from its checkpoint", ", ".join(map(str, damaged))
        )
    return not damaged


def read_or_warn(read: Callable[[], Read | None]) -> Read | None:
    """What `read` returns; None, with a warning, if the file is damaged: the run writes it again.

    Raises:
        DamagedFile: the table of digests is damaged.
    """
    try:
        return read()
    except DamagedFile as error:
        if error.path.name == DIGESTS:
            raise
        log.warning("%s. It is written again", error)
        return None


def require_same_run(
    files: RunFiles, request: RunRequest, training: str, existing: dict[str, Any], other_data: str | None
) -> None:
    """Refuse a directory that holds another training.

    existing: the checkpoint or the result that is there. other_data: how the data differ from those of its start.

    Raises:
        ConfigError: another configuration, or an older version of sota-exp, made the run there.
    """
    if (read_or_warn(lambda: files.format) or FILE_FORMAT) < FILE_FORMAT:
        raise ConfigError(
            f"hydra.run.dir={files.directory} holds a run that an older version of sota-exp made: predict, evaluate, "
            "compare and report can read it, train cannot continue it. Choose another directory, or remove this one"
        )
    get_format(existing, files.directory)
    if existing.get("training_fingerprint", training) != training:
        found = format_differences(read_or_warn(files.config) or {}, request.configuration.values) or [
            other_data or "the images, the initial weights, or the numerics of this version"
        ]
        raise ConfigError(
            f"hydra.run.dir={files.directory} holds another run, which differs in {'; '.join(found[:5])}. "
            "Choose another directory, or remove this one"
        )
