"""What Hydra's jobs return: the error of one that failed, and that of one whose process died."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

from sota_exp.errors import RunLost, in_a_line


def get_error(returned: JobReturn) -> object:
    """The error of a job that failed, else what it returned."""
    return returned._return_value


def make_lost_return(overrides: Sequence[str], error: BaseException) -> JobReturn:
    """What a job returns whose process died."""
    lost = RunLost(f"the launcher lost its process ({in_a_line(error)})")
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=lost)
