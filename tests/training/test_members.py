"""Processes of a run that share a GPU, or of which one is gone: said in words, within seconds."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from sota_exp.data import shared_listing
from sota_exp.data.listing import ListingWriter
from sota_exp.data.listing_state import FileState
from sota_exp.data.shared_listing import share_listing
from sota_exp.errors import LOST_PROCESS, ConfigError, RunFailed
from sota_exp.training import autotune, distributed, evaluate_saved, members
from sota_exp.training import device as device_module
from sota_exp.training import run as run_module
from sota_exp.training.distributed import World, average_norm_statistics, average_totals, join_process_group
from sota_exp.training.members import introduce, naming_lost_processes, open_together, require_same_inputs
from sota_exp.training.run import run
from tests.composing import compositions_share_their_work
from tests.experiments import OFF, TINY, composed
from tests.forked import Forked
from tests.training.test_distributed import free_port
from tests.training.test_run import Silent, request

GLOO = "[/gloo/gloo/transport/tcp/pair.cc:545] Read error [::1]:3: Connection reset by peer"

#: Seconds after a death in which another process says so; most of them for a busy machine.
SOON = 30.0


@pytest.mark.parametrize(("second", "is_shared"), [("GPU-0", True), ("GPU-1", False)])
def test_processes_on_one_gpu_are_named_before_nccl_connects(
    second: str, is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL connects at once where the group is told its device, and ends with `Duplicate GPU detected`."""

    def init(backend: str, device_id: torch.device | None = None) -> None:
        if device_id is not None:
            raise RuntimeError("NCCL error: Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1000")
        assert backend == "cpu:gloo,cuda:nccl"

    def gather(found: list[Any], mine: dict[str, Any]) -> None:
        found[:] = [mine, mine | {"gpu": second}]

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(members, "_members", [])
    monkeypatch.setattr(distributed, "_make_patient_group", lambda whole: None)
    monkeypatch.setattr(dist, "init_process_group", init)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="GPU-0"))
    if is_shared:
        with pytest.raises(ConfigError, match="^processes 0 and 1 of the run have the same GPU: start one process for"):
            join_process_group(torch.device("cuda", 0))
    else:
        assert join_process_group(torch.device("cuda", 0)).size == 2


@pytest.mark.parametrize(
    ("hosts", "dead", "who"),
    [
        (["here", "here"], {1}, "process 1 (pid 101 on here)"),
        (["here", "here", "there"], {0, 1}, "process 0 (pid 100 on here), process 1 (pid 101 on here)"),
        (["here", "there", "yonder"], set(), "a process on there, yonder"),
        (["here", "here"], set(), "another process"),
    ],
)
def test_who_ended_is_named_as_far_as_this_machine_knows(
    hosts: list[str], dead: set[int], who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [{"host": host, "machine": host, "pid": 100 + rank, "born": 0.0} for rank, host in enumerate(hosts)]
    monkeypatch.setattr(members, "_members", found)
    monkeypatch.setattr(members, "SECONDS_TO_END", 0.1)
    monkeypatch.setattr(members, "is_process_alive", lambda facts: facts["pid"] - 100 not in dead)
    monkeypatch.setattr(members, "get_machine", lambda: "here")
    for error in (RuntimeError(GLOO), RuntimeError("NCCL error: remote process exited")):
        said = f"^{re.escape(who)} of this run ended or can't be reached: what"
        with pytest.raises(RunFailed, match=said), naming_lost_processes():
            raise error
    with pytest.raises(RunFailed, match="^disk full$"), naming_lost_processes():
        raise RunFailed("disk full")


def test_all_that_trains_or_scores_names_who_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training before its first step too."""

    def gone(*_: Any) -> None:
        raise RuntimeError(GLOO)

    asking = composed(*TINY, *OFF, "runtime=auto", "runtime.device=cpu")
    mine = {"host": socket.gethostname(), "machine": members.get_machine(), "pid": 1, "born": 0.0}
    monkeypatch.setattr(members, "_members", [mine] * 2)
    monkeypatch.setattr(members, "is_process_alive", lambda _: False)
    for module, name in ((autotune, "compute_on_main"), (evaluate_saved, "_evaluate"), (run_module, "open_data")):
        monkeypatch.setattr(module, name, gone)
    evaluation: Any = SimpleNamespace(experiment=asking.experiment)
    for do in (
        lambda: autotune.choose_runtime(asking, tmp_path),
        lambda: evaluate_saved.evaluate_saved(evaluation, tmp_path / "scores"),
        lambda: run(request(tmp_path / "run"), Silent()),
    ):
        with pytest.raises(RunFailed, match=r"^process 0 \(pid 1 on .*\), process 1 \(pid 1 on .*\) of this run ended"):
            do()


@pytest.mark.parametrize(("digests", "wrong"), [("aa", None), ("ab", 1), ("aab", 2)])
def test_processes_that_read_other_files_than_the_first_are_named(
    digests: str, wrong: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(found: list[object], mine: object) -> None:
        found[:] = digests

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: len(digests))
    monkeypatch.setattr(dist, "all_gather_object", gather)
    monkeypatch.setattr(members, "_members", [{"host": f"node{rank}"} for rank in range(len(digests))])
    said = f"^process {wrong} on node{wrong} reads other images or weights than process 0 on node0: give all machines"
    with nullcontext() if wrong is None else pytest.raises(ConfigError, match=said):
        require_same_inputs("a")


def test_the_first_process_says_which_ones_share_their_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gather(found: list[object], mine: dict[str, object]) -> None:
        found[:] = [mine | {"gpu": f"GPU-{rank}", "shares_gpu": rank == 1} for rank in range(2)]

    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    monkeypatch.setattr(members, "_members", [])
    introduce("GPU-0")
    (record,) = caplog.records
    assert record.getMessage().startswith("process 1 on ") and "uses its GPU too" in record.getMessage()


def test_alone_no_process_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_members", [])
    with pytest.raises(RuntimeError, match="Connection reset"), naming_lost_processes():
        raise RuntimeError(GLOO)


def test_no_process_waits_for_its_device_before_it_knows_that_the_others_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The device waits for a process that is gone, and the host would wait for the device."""

    class Waiting(torch.Tensor):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise AssertionError(f"{function} waits for the device")

    def gone(*_: Any, **__: Any) -> None:
        raise RuntimeError(GLOO)

    monkeypatch.setattr(dist, "all_reduce", gone)
    total = torch.ones(()).as_subclass(Waiting)
    module = torch.nn.Module()
    module._buffers["statistics"] = total
    for wait in (
        lambda: average_totals({"train/loss": total}, World(size=2)),
        lambda: average_norm_statistics(module, World(size=2)),
    ):
        with pytest.raises(RuntimeError, match="Connection reset"):
            wait()


def end_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_out_of_memory() -> None:
    raise MemoryError("no more")


#: How a process ends, and what another one says of it, with its number and host before.
ENDS = {
    end_process: LOST_PROCESS.removeprefix("another process"),
    run_out_of_memory: " of this run failed: out of memory: no more; try a smaller batch_size, "
    "schedule/accumulation=micro_batches or runtime.checkpoint_activations=true",
}


def train_until_one_dies(rank: int, port: int, directory: str, end: Callable[[], None]) -> None:
    """Of one process: a training in which process 1 ends after two steps, and memory is never free again."""
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    torch.set_num_threads(1)

    def at_step(step: int) -> None:
        device_module.free_device_memory = lambda: time.sleep(600)  # type: ignore[attr-defined]
        if (rank, step) == (1, 2):
            Path(directory, "died").write_text(json.dumps([os.getpid(), time.time()]))
            end()

    try:
        with compositions_share_their_work():
            run(request(Path(directory, "run")), Silent(at_step))
    except RunFailed as error:
        Path(directory, f"said-{rank}").write_text(json.dumps([str(error), time.time()]))


@pytest.mark.parametrize("end", ENDS)
def test_who_ends_is_named_by_another_process_within_seconds(tmp_path: Path, end: Callable[[], None]) -> None:
    """Freeing the memory of its GPU it would wait for the one that is gone."""
    port = free_port()
    first, second = (Forked(train_until_one_dies, rank, port, str(tmp_path), end) for rank in range(2))
    try:
        assert second.wait(120) == (-signal.SIGKILL if end is end_process else 0)
        assert first.wait(SOON) == 0
    finally:
        first.kill()
        second.kill()
    pid, died = json.loads((tmp_path / "died").read_text())
    words, said = json.loads((tmp_path / "said-0").read_text())
    assert words == f"process 1 (pid {pid} on {socket.gethostname()}){ENDS[end]}"
    assert said - died < SOON
    assert json.loads((tmp_path / "run" / "result.json").read_text())["reason"] == words


def test_a_process_that_comes_late_uses_the_listing_of_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process made it, after it arrived; clocks of other machines tell nothing."""
    monkeypatch.setattr(shared_listing, "LARGE", 1)
    (tmp_path / "a.jpg").touch()
    made: list[int] = []

    def share() -> Any:
        writer = ListingWriter(tmp_path)
        made.append(1)
        writer.add(["a.jpg"], [FileState(1, 1)], ["a"], 0)
        return writer.finish()

    def gather(found: list[Any], mine: tuple[str, float]) -> None:
        found[:] = [(mine[0], arrived), mine, ("another machine", 0.0)]

    arrived = time.time()
    open_together(lambda: share_listing(str(tmp_path), ["x"], share))
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    open_together(lambda: share_listing(str(tmp_path), ["x"], share))
    assert len(made) == 1
    arrived = time.time()
    open_together(lambda: share_listing(str(tmp_path), ["x"], share))
    assert len(made) == 2, "a later run looks again"
