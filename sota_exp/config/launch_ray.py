"""Launches runs with hydra-ray-launcher, and tells which of them were lost.

That launcher raises at the first lost run while the others go on. Here every run is waited for, and all are cancelled
with their command. Ray itself starts a run again whose process died (`ray.remote.max_retries`, 3 times by default).
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from sota_exp.config.job_returns import make_lost_return

#: Seconds that cancelled runs have for their checkpoints.
CANCEL_SECONDS = 30.0


def launch_with_ray(launcher: Launcher, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
    """What each job returned; all are cancelled if this is interrupted."""
    import ray
    from hydra_plugins.hydra_ray_launcher import _core

    submitted: list[Any] = []
    start = _core.launch_job_on_ray

    def submit(*arguments: Any) -> Any:
        submitted.append(start(*arguments))
        return submitted[-1]

    def get(run: Any) -> JobReturn:
        try:
            returned: JobReturn = ray.get(run)
            return returned
        except ray.exceptions.RayError as error:
            return make_lost_return(jobs[submitted.index(run)], error)

    try:
        with patch.multiple(_core, launch_job_on_ray=submit, ray=SimpleNamespace(get=get)):
            returned: Sequence[JobReturn] = launcher.launch(jobs, initial_job_idx=initial_job_idx)
            return returned
    except BaseException:
        for run in submitted:
            ray.cancel(run)
        if submitted:  # What trains saves itself first.
            ray.wait(submitted, num_returns=len(submitted), timeout=CANCEL_SECONDS)
        raise
