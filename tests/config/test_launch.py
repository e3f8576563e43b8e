"""Launching runs: what a launcher loses, refuses or interrupts, and looks at runs while they train."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from sota_exp.config import launch, launch_submitit
from sota_exp.config.job_returns import get_error
from sota_exp.config.launch import launch_jobs
from sota_exp.config.launch_submitit import VISIBLE_GPUS, Queue, ResumableRun, SubmittedRun
from sota_exp.errors import ConfigError, Interrupted, RunFailed, RunLost

JOBS = [["seed=0"], ["seed=1"]]


class Remote(Launcher):
    """A launcher of other processes that does what a function does."""

    def __init__(self, does: Callable[[], list[JobReturn]]) -> None:
        self.does = does

    def setup(self, **given: object) -> None: ...

    def launch(self, job_overrides: object, initial_job_idx: int) -> list[JobReturn]:
        return self.does()


def raising(error: BaseException) -> Remote:
    def does() -> list[JobReturn]:
        raise error

    return Remote(does)


def test_runs_of_a_launcher_whose_worker_died_are_lost_not_failed(caplog):
    returned = launch_jobs(raising(BrokenProcessPool("A worker process was terminated.")), JOBS, 0)
    errors = [get_error(job) for job in returned]
    assert [type(error) for error in errors] == [RunLost, RunLost] and isinstance(errors[0], RunFailed)
    assert str(errors[0]) == ("the launcher lost its process (BrokenProcessPool: A worker process was terminated.)")
    assert [job.overrides for job in returned] == JOBS and "is launched again" in caplog.text


def test_a_worker_that_makes_room_for_another_is_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    """Joblib suspected a memory leak in the middle of a study in which nothing was wrong."""

    def does() -> list[JobReturn]:
        warnings.warn(f"{launch.WORKER_STOPPED}. This can be caused by a too short worker timeout", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
        return []

    launch_jobs(Remote(does), JOBS, 0)
    assert [str(each.message) for each in recwarn] == ["something else"]


@pytest.mark.parametrize(
    "error", [ValueError("Unsupported Joblib backend 'x'"), TypeError("n_jobs"), NameError("Unknown argument 'x'")]
)
def test_what_a_launcher_cannot_do_is_wrong_usage(error):
    with pytest.raises(ConfigError, match=f"hydra.launcher: {type(error).__name__}: {error}"):
        launch_jobs(raising(error), JOBS, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(15), RunFailed("no"), ConfigError("no")])
def test_the_end_of_a_command_is_no_loss(error):
    with pytest.raises(type(error)):
        launch_jobs(raising(error), JOBS, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_command_interrupts_its_launcher(number):
    def does() -> list[JobReturn]:
        os.kill(os.getpid(), number)
        time.sleep(5)
        return []

    with pytest.raises(Interrupted) as stop:
        launch_jobs(Remote(does), JOBS, 0)
    assert stop.value.signal_number == number and signal.getsignal(number) == signal.SIG_DFL


def test_a_look_is_taken_while_others_train_and_once_at_the_end(monkeypatch):
    monkeypatch.setattr(launch, "LOOK_SECONDS", 0.01)
    looks: list[str] = []
    done = JobReturn(status=JobStatus.COMPLETED)

    def look() -> None:
        looks.append("looked")
        if len(looks) == 1:
            raise OSError("the folder is away for a moment")

    def does() -> list[JobReturn]:
        while len(looks) < 3:
            time.sleep(0.01)
        looks.append("ended")
        return [done, done]

    assert launch_jobs(Remote(does), JOBS, 0, look) == [done, done]
    assert looks[:3] == ["looked"] * 3 and looks[-1] == "looked" and "ended" in looks


def test_runs_of_this_process_are_not_looked_at_and_their_errors_are_their_own(monkeypatch):
    def fail(*given: object, **others: object) -> list[JobReturn]:
        raise BrokenProcessPool("ours")

    monkeypatch.setattr(BasicLauncher, "launch", fail)
    with pytest.raises(BrokenProcessPool):
        launch_jobs(BasicLauncher(), JOBS, 0, lambda: pytest.fail("a look"))


@pytest.mark.parametrize(
    ("status", "said", "errors", "ended"),
    [
        (0, "7_0|RUNNING\n7_1|COMPLETED\n", "", {"7_0": False, "7_1": True, "7_2": True}),
        (0, "7_0|PENDING\n7_1|REQUEUED\n7_2|PREEMPTED\n", "", {"7_0": False, "7_1": False, "7_2": True}),
        (1, "", "slurm_load_jobs error: Invalid job id specified", {"7_0": True}),
        (1, "", "Unable to contact slurm controller", {"7_0": False}),
    ],
)
def test_slurm_says_which_jobs_have_ended_without_accounting(monkeypatch, status, said, errors, ended):
    asked = []

    def answer(command: list[str], **given: object) -> object:
        asked.append(command)
        return SimpleNamespace(returncode=status, stdout=said, stderr=errors)

    monkeypatch.setattr(subprocess, "run", answer)
    queue = Queue(["7_0", "7_1", "7_2"])
    assert {job: queue.has_ended(job) for job in ended} == ended
    assert len(asked) == 1 and "--jobs=7" in asked[0]


def test_a_job_that_ended_without_a_result_is_lost_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(launch_submitit, "RESULT_SECONDS", 0.0)
    paths = SimpleNamespace(result_pickle=tmp_path / "result.pkl", folder=tmp_path, stderr=tmp_path / "log.err")
    job = SimpleNamespace(paths=paths, job_id="7_1", done=lambda: True)
    (returned,) = SubmittedRun(job, ["seed=1"], None).results()
    assert isinstance(get_error(returned), RunLost) and "job 7_1, see " in str(get_error(returned))


def test_a_run_that_a_signal_ended_does_not_end_as_an_error_of_submitit():
    def interrupted(*given: object) -> JobReturn:
        raise KeyboardInterrupt from Interrupted(15)

    with pytest.raises(SystemExit) as end:
        ResumableRun(interrupted)("seed=0")
    assert end.value.code == 143


@pytest.mark.parametrize("shown", ["2,3", None])
@pytest.mark.parametrize("gpus_per_node", [None, 0, 1])
def test_runs_of_one_machine_see_the_gpus_of_their_command_unless_it_hides_them(monkeypatch, shown, gpus_per_node):
    """submitit shows each of them the first `gpus_per_node`; it is played here, as it is an extra."""
    seen = []

    class Local:
        def __init__(self, cluster: str) -> None:
            self.cluster, self.parameters = cluster, {"gpus_per_node": gpus_per_node}

        def submit(self, function: Callable[..., object], *call: object) -> object:
            with monkeypatch.context() as job:
                job.setenv(VISIBLE_GPUS, ",".join(map(str, range(gpus_per_node or 0))))
                function(*call)
            paths = SimpleNamespace(result_pickle=Path(os.devnull), folder="/")
            return SimpleNamespace(paths=paths, _get_outcome_and_result=lambda: ("success", "done"), done=lambda: True)

    class Submitit(Launcher):
        def setup(self, **given: object) -> None: ...

        def launch(self, job_overrides: object, initial_job_idx: int) -> list[JobReturn]:
            executor = sys.modules["submitit"].AutoExecutor("local")
            runs = executor.map_array(lambda *call: seen.append(os.environ.get(VISIBLE_GPUS)), JOBS)
            return [run.results()[0] for run in runs]

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Local))
    monkeypatch.delenv(VISIBLE_GPUS, raising=False)
    if shown is not None:
        monkeypatch.setenv(VISIBLE_GPUS, shown)
    assert launch_submitit.launch_with_submitit(Submitit(), JOBS, 0) == ["done", "done"]
    assert seen == ["" if gpus_per_node == 0 else shown] * 2
