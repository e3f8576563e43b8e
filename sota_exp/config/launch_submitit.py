"""Launches runs with hydra-submitit-launcher, and tells which of them were lost.

That launcher raises at the first lost run while the others go on, waits for ever for one where SLURM keeps no
accounts, starts all runs of one machine at once, and leaves them to the queue when its command ends. Here every run is
waited for, one that a signal ended before its time limit is queued again, and all are cancelled with their command.
Runs of one machine see its GPUs, of which each leases one (`training/gpu_lease.py`).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from sota_exp.config.job_returns import make_lost_return
from sota_exp.errors import ConfigError, Interrupted, RunLost, in_a_line

#: Seconds between two looks at a job, and between two questions to SLURM.
LOOK_SECONDS, QUEUE_SECONDS = 0.5, 5.0

#: Seconds that a file system may take to show the result of a job, and that cancelled runs have for their checkpoints.
RESULT_SECONDS, CANCEL_SECONDS = 10.0, 30.0

#: The variable with the GPUs that a process sees.
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"

#: Signals that warn of a time limit. submitit asks SLURM for USR2, `sbatch --signal` for what its user likes.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)

#: SLURM's states of a job that will run or runs; in all others it has ended.
ALIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "COMPLETING", "RESIZING"),
    *("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"),
}


@dataclass
class ResumableRun:
    """What a job calls: the launcher of hydra-submitit-launcher, in the job's process.

    A run that saved itself because its time is almost over hands the signal to submitit, which queues the job again.

    shown_gpus: what `CUDA_VISIBLE_DEVICES` becomes, of which None is a variable that is not set; () leaves it.
    """

    launcher: Any
    shown_gpus: tuple[str | None, ...] = ()

    def __call__(self, *arguments: Any) -> JobReturn:
        for shown in self.shown_gpus:
            os.environ.pop(VISIBLE_GPUS, None)
            if shown is not None:
                os.environ[VISIBLE_GPUS] = shown
        try:
            returned: JobReturn = self.launcher(*arguments)
            return returned
        except KeyboardInterrupt as stop:
            cause = stop.__cause__
            number = cause.signal_number if isinstance(cause, Interrupted) else int(signal.SIGINT)
            if number in WARNINGS:
                from submitit import JobEnvironment

                signal.raise_signal(JobEnvironment._usr_sig())
            sys.exit(128 + number)

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit stores for the time after: the same call, which goes on from the run's own checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, *arguments)


def make_local_run(launcher: Any, parameters: Mapping[str, Any]) -> ResumableRun:
    """A job that sees the GPUs of this command and leases one, or none; submitit shows all jobs the same first ones."""
    hides = parameters.get("gpus_per_node") == 0
    return ResumableRun(launcher, () if hides else (os.environ.get(VISIBLE_GPUS),))


@dataclass
class Queue:
    """What SLURM says of jobs, asked every few seconds for all of them. It needs no accounting, as submitit does."""

    ids: Sequence[str]
    states: dict[str, str] = field(default_factory=dict)
    asked_at: float = float("-inf")

    def has_ended(self, job_id: str) -> bool:
        """Whether a job neither waits nor runs; False while SLURM does not answer."""
        if time.monotonic() - self.asked_at > QUEUE_SECONDS:
            self.states = self.ask()
            self.asked_at = time.monotonic()
        return self.states.get(job_id, "GONE") not in ALIVE

    def ask(self) -> dict[str, str]:
        """Job → its state; a job that ended some minutes ago is not known any more."""
        numbers = ",".join(sorted({each.partition("_")[0] for each in self.ids}))
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={numbers}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0 and "Invalid job id" not in done.stderr:
            return dict.fromkeys(self.ids, "PENDING")
        return dict(line.strip().partition("|")[::2] for line in done.stdout.splitlines())


@dataclass
class SubmittedRun:
    """A job of submitit. queue: of SLURM; None for a process of this machine."""

    job: Any
    overrides: Sequence[str]
    queue: Queue | None

    def has_ended(self) -> bool:
        if self.queue is not None:
            return self.queue.has_ended(self.job.job_id)
        return bool(self.job.done())

    def results(self) -> list[JobReturn]:
        """What the run returned, in a list, for the launcher; waits for it."""
        ended_at: float | None = None
        while not self.job.paths.result_pickle.exists():
            with suppress(OSError):  # So that a network file system looks again.
                os.listdir(self.job.paths.folder)
            if not self.has_ended():
                ended_at = None
            elif ended_at is None:
                ended_at = time.monotonic()
            elif time.monotonic() - ended_at > RESULT_SECONDS:
                return [self._make_lost()]
            time.sleep(LOOK_SECONDS)
        outcome, returned = self.job._get_outcome_and_result()
        return [returned if outcome == "success" else self._make_lost()]

    def _make_lost(self) -> JobReturn:
        return make_lost_return(self.overrides, RunLost(f"job {self.job.job_id}, see {self.job.paths.stderr}"))

    def cancel(self) -> None:
        """Ask the run to save itself and to end."""
        if self.queue is not None:
            subprocess.run(["scancel", self.job.job_id], capture_output=True)
        elif self.job._process is not None:
            self.job._process.send_signal(signal.SIGTERM)  # Its process of submitit hands it on.


def launch_with_submitit(
    launcher: Launcher, jobs: Sequence[Sequence[str]], initial_job_idx: int
) -> Sequence[JobReturn]:
    """What each job returned; all are cancelled if this is interrupted.

    Raises:
        ConfigError: no job could be submitted.
    """
    import submitit

    submitted: list[SubmittedRun] = []

    class Executor(submitit.AutoExecutor):
        """Submits as submitit does, and waits as it does not."""

        def map_array(self, function: Any, *arguments: Iterable[Any]) -> list[Any]:
            calls = list(zip(*arguments, strict=True))
            if self.cluster == "local":
                return self._run_some_at_a_time(make_local_run(function, self.parameters), calls)
            made = super().map_array(ResumableRun(function), *zip(*calls, strict=True))
            queue = Queue([job.job_id for job in made])
            submitted.extend(SubmittedRun(job, call[0], queue) for job, call in zip(made, calls, strict=True))
            return submitted

        def _run_some_at_a_time(self, function: Any, calls: Sequence[Any]) -> list[Any]:
            def run(call: Any) -> Any:
                submitted.append(mine := SubmittedRun(self.submit(function, *call), call[0], None))
                mine.results()
                return mine

            size = max(1, len(os.sched_getaffinity(0)) // (self.parameters.get("cpus_per_task") or 1))
            with ThreadPoolExecutor(size) as pool:
                futures = [pool.submit(run, call) for call in calls]
                try:
                    return [future.result() for future in futures]
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    cancel_all(submitted)
                    raise

    try:
        with patch.object(submitit, "AutoExecutor", Executor):
            returned: Sequence[JobReturn] = launcher.launch(jobs, initial_job_idx=initial_job_idx)
            return returned
    except BaseException as error:
        cancel_all(submitted)
        is_fault = isinstance(error, Exception) and not isinstance(error, Interrupted)
        if is_fault and not submitted:  # sbatch is missing, or refuses the partition.
            raise ConfigError(f"hydra.launcher: {in_a_line(error)}") from error
        raise


def cancel_all(submitted: Sequence[SubmittedRun]) -> None:
    """Cancel what has not ended, and wait until it has saved itself."""
    left = [run for run in submitted if not run.has_ended()]
    for run in left:
        run.cancel()
    deadline = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < deadline and not all(run.has_ended() for run in left):
        time.sleep(LOOK_SECONDS)
