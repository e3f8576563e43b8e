"""One, two and four processes of a run: equal losses, equal counts, gradients of micro-batches averaged once."""

import math
import os
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import start_processes

from sota_exp.data.open import open_data
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.runs.files import RunFiles
from sota_exp.stages.batch import Batch
from sota_exp.training.autotune import train_and_time
from sota_exp.training.distributed import (
    World,
    average_totals,
    compute_on_main,
    gather_interleaved,
    has_unused_parameters,
    join_process_group,
)
from sota_exp.training.listener import Listener, Pruner
from sota_exp.training.loop import EpochRecord, TrainingSession, fit, start_training
from sota_exp.training.members import introduce
from sota_exp.training.trainer import RunTrainer
from tests.composing import compositions_share_their_work
from tests.conftest import make_once
from tests.experiments import OFF, TINY, composed, session_of
from tests.forked import START_METHOD
from tests.sync_norm import synchronized_on_cpu
from tests.training.test_distributed import SLICED, free_port

NUM_PROCESSES = (1, 2, 4)

#: Images to gather; four processes do not divide most of them, and one image leaves three without any.
NUM_IMAGES = (1, 7, 100, 101, 1003)

#: Trainings in which each process computes what one alone does.
TRAININGS = {
    "plain": (),
    "micro-batches, clipped": (
        "schedule/accumulation=micro_batches",
        "schedule.accumulation.micro_batch_size=2",
        "regularization/clip=norm",
        "regularization.clip.max_norm=0.1",
    ),
    "frozen": ("model/tuning=head_only",),
    "activations computed again": ("runtime.checkpoint_activations=true",),
    "synchronized": ("regularization/norm=sync_batch",),
    "synchronized, activations computed again": (
        "regularization/norm=sync_batch",
        "runtime.checkpoint_activations=true",
        "model.arch.name=resnet_s",
    ),
}

#: Those of four processes; two have all.
OF_FOUR = ("plain", "synchronized")

#: Two epochs in which the weights stay, so that the statistics of the first norm layer are of the images alone.
RESTING = (*TINY, *OFF, "optimizer.lr=1e-12", "optimizer.weight_decay=0")


#: What the first process may raise while the others wait for its answer, and what they say.
ERRORS = {
    "ConfigError": (ConfigError("seed=x: no number"), "ConfigError: seed=x: no number"),
    "OSError": (OSError(28, "No space left on device"), "RunFailed: disk full: [Errno 28] No space left on device"),
    "KeyError": (KeyError("a fault"), "RunFailed: KeyError: 'a fault'"),
}


def raised_on_main(error: Exception, world: World) -> str:
    """What a process says where the first one raises the error."""

    def fail() -> None:
        assert world.is_main
        raise error

    try:
        compute_on_main(fail, world)
    except Exception as said:
        return f"{type(said).__name__}: {said}"
    return "no error"


#: Seconds after which a process gives up waiting for another in a step, and of the work of one while others wait.
STEP_TIMEOUT, WORK_ALONE = 1.0, 2.5


def work_alone(rank: int, directory: str, port: int) -> None:
    """One of two processes of which the first opens a large set for the first time."""
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", timeout=timedelta(seconds=STEP_TIMEOUT))
    world = join_process_group(torch.device("cpu"))
    found = compute_on_main(lambda: time.sleep(WORK_ALONE) or "opened", world)
    (Path(directory) / str(rank)).write_text(found)
    dist.destroy_process_group()


def test_processes_wait_for_one_that_decodes_the_data_for_longer_than_for_a_step(tmp_path):
    start_processes(work_alone, (str(tmp_path), free_port()), nprocs=2, start_method=START_METHOD)
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["opened"] * 2


def measure_norm_statistics(world: World) -> dict[str, torch.Tensor]:
    """The running means and counts of batch norm after two epochs with resting weights."""
    session, _ = session_of(composed(*RESTING).experiment, world)
    state = start_training(session)
    for _ in fit(session, state):
        pass
    first = next(layer for layer in state.model.modules() if isinstance(layer, nn.BatchNorm2d))
    return {"mean": first.running_mean, "num": first.num_batches_tracked}


def time_alone(world: World) -> float:
    """Seconds of a step that the first process measures for all, with a norm that would gather statistics of others."""
    experiment = composed(*TINY, *OFF, "regularization/norm=sync_batch").experiment
    if not world.is_main:
        return 0.0
    return next(train_and_time(experiment, open_data(experiment), experiment.runtime, torch.device("cpu")))


def diverge(world: World) -> str:
    """What a process says where the loss of the last one is NaN in the last step of the first epoch."""
    session, _ = session_of(composed(*TINY, *OFF, *SLICED).experiment, world)
    session = with_last_loss(session, math.nan if world.rank == world.size - 1 else 0.0)
    files = RunFiles(directory=Path())
    training = RunTrainer(session=session, state=start_training(session), files=files, training_fingerprint="")
    try:
        training.go(Listener(), Pruner())
    except RunFailed as error:
        return str(error)
    return "no error"


def with_last_loss(session: TrainingSession, extra: float) -> TrainingSession:
    """The session, with `extra` added to the loss of the last step of each epoch."""
    calls: list[int] = []

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        calls.append(1)
        return session.loss(logits, batch) + (extra if len(calls) % session.steps_per_epoch == 0 else 0)

    return replace(session, loss=loss)  # type: ignore[arg-type]


def measure_training(session: TrainingSession) -> dict:
    """The metrics of each epoch, the weights, and whether DDP looks for parameters without a gradient."""
    state = start_training(session)
    metrics = [record.metrics for record in fit(session, state) if isinstance(record, EpochRecord)]
    unused = getattr(state.wrapped_model, "find_unused_parameters", None)
    return {"metrics": metrics, "weights": state.model.state_dict(), "unused": unused}


def measure(world: World) -> dict:
    """Of one process: losses and weights of each training, and gathered and averaged numbers."""
    trainings = {}
    for name in OF_FOUR if world.size == 4 else TRAININGS:
        words = TRAININGS[name]
        session, _ = session_of(composed(*TINY, *OFF, *SLICED, *words).experiment, world)
        with ExitStack() as stack:
            if "synchronized" in name and world.size > 1:
                stack.enter_context(synchronized_on_cpu())
            trainings[name] = measure_training(session)
    rows = {num: torch.arange(num)[world.rank :: world.size] for num in NUM_IMAGES}
    shared = ""
    if world.size > 1:
        try:
            introduce("GPU-0" if world.rank < 2 else f"GPU-{world.rank}")
        except Exception as error:
            shared = str(error)
    return {
        "trainings": trainings,
        "statistics": measure_norm_statistics(world),
        "seconds": time_alone(world),
        "diverged": diverge(world),
        "gathered": {num: gather_interleaved(part, world) for num, part in rows.items()},
        "average": average_totals({"a": torch.tensor(1.0 + world.rank), "b": torch.tensor(2.0)}, world),
        "none": average_totals({}, world),
        "shared": shared,
        "raised": {name: raised_on_main(error, world) for name, (error, _) in ERRORS.items()},
    }


def worker(rank: int, size: int, port: int, directory: str) -> None:
    os.environ |= {"WORLD_SIZE": str(size), "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    torch.set_num_threads(1)
    world = join_process_group(torch.device("cpu"))
    try:
        with compositions_share_their_work():
            torch.save(measure(world), Path(directory) / f"{size}-{rank}.pt")
    finally:
        dist.destroy_process_group()


def measure_all(directory: Path) -> dict[int, list[dict]]:
    """What each process measured, by their number."""
    found = {1: [measure(World())]}
    for size in NUM_PROCESSES[1:]:
        start_processes(worker, (size, free_port(), str(directory)), nprocs=size, start_method=START_METHOD)
        found[size] = [torch.load(directory / f"{size}-{rank}.pt") for rank in range(size)]
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> dict[int, list[dict]]:
    """Of `measure_all`, once for all workers: seven processes train."""
    place = tmp_path_factory.mktemp("ranks")
    return torch.load(make_once(tmp_path_factory, "ranks.pt", lambda path: torch.save(measure_all(place), path)))


@pytest.mark.parametrize("name", TRAININGS)
def test_losses_are_those_of_all_processes_and_equal_those_of_one(ranks, name):
    alone = ranks[1][0]["trainings"][name]
    for size in (2, 4) if name in OF_FOUR else (2,):
        for rank in ranks[size]:
            found = rank["trainings"][name]
            for epoch, expected in zip(found["metrics"], alone["metrics"], strict=True):
                assert epoch == pytest.approx(expected, rel=1e-5)
            for key, value in alone["weights"].items():
                torch.testing.assert_close(found["weights"][key], value, rtol=1e-4, atol=1e-5, msg=key)
        assert len({str(rank["trainings"][name]["metrics"]) for rank in ranks[size]}) == 1


def test_parameters_without_a_gradient_are_looked_for_only_where_some_are_frozen(ranks):
    for rank in ranks[2]:
        found = {name: training["unused"] for name, training in rank["trainings"].items()}
        assert found == {name: name == "frozen" for name in TRAININGS}


def test_statistics_of_batch_norm_are_means_over_the_processes_not_those_of_the_first(ranks):
    """Of its mean: that of means over each process's images is the mean over all."""
    expected = ranks[1][0]["statistics"]
    for size in NUM_PROCESSES[1:]:
        for rank in ranks[size]:
            torch.testing.assert_close(rank["statistics"]["mean"], expected["mean"], rtol=1e-4, atol=1e-6)
            assert rank["statistics"]["num"] == expected["num"] == 6


def test_what_the_first_process_measures_alone_waits_for_no_other(ranks):
    """Synchronized batch norm started a collective that nobody joined."""
    assert all(rank["seconds"] > 0 for size in NUM_PROCESSES for rank in ranks[size][:1])


def test_a_loss_that_diverges_on_another_process_ends_all_with_the_same_words(ranks):
    said = {rank["diverged"] for size in NUM_PROCESSES for rank in ranks[size]}
    assert said == {"diverged: train/loss is nan in epoch 1; try a lower optimizer.lr"}


@pytest.mark.parametrize("num", NUM_IMAGES)
def test_every_image_is_counted_once_in_order(ranks, num):
    for size in NUM_PROCESSES:
        assert all(torch.equal(rank["gathered"][num], torch.arange(num)) for rank in ranks[size])


def test_totals_are_means_over_the_processes(ranks):
    for size in NUM_PROCESSES:
        mean = sum(range(1, size + 1)) / size
        assert all(rank["average"] == {"a": mean, "b": 2.0} and rank["none"] == {} for rank in ranks[size])


def test_two_processes_on_one_gpu_are_named(ranks):
    for size in NUM_PROCESSES[1:]:
        assert all("processes 0 and 1 of the run have the same GPU" in rank["shared"] for rank in ranks[size])


@pytest.mark.parametrize("name", ERRORS)
def test_whatever_the_first_process_raises_ends_the_others_too(ranks, name):
    """Else they would wait for its answer."""
    error, said = ERRORS[name]
    for size in NUM_PROCESSES:
        main, *others = (rank["raised"][name] for rank in ranks[size])
        assert main == f"{name}: {error}" and set(others) <= {said}


def compile_and_measure(rank: int, port: int, directory: str, backend: str) -> None:
    """Of one of two processes: the losses of steps that are compiled, and of others."""
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    world, real = join_process_group(torch.device("cpu")), torch.compile
    words = (*TINY, *OFF, *SLICED, *TRAININGS["micro-batches, clipped"])
    with ExitStack() as stack:
        if backend != "inductor":
            stack.enter_context(mock.patch("torch.compile", lambda model, options: real(model, backend=backend)))
        found = [
            measure_training(session_of(composed(*words, f"runtime.compile={compiles}").experiment, world)[0])
            for compiles in ("false", "true")
        ]
    torch.save([each["metrics"] for each in found], Path(directory) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("backend", "tolerance"),
    [
        pytest.param("aot_eager", 1e-12, marks=pytest.mark.slow),
        pytest.param("inductor", 1e-3, marks=pytest.mark.torture),
    ],
)
def test_compiled_steps_of_two_processes_have_the_losses_of_others(tmp_path, backend, tolerance):
    """PyTorch cuts the graph where DDP's buckets end, and `no_sync` changes between micro-batches."""
    start_processes(compile_and_measure, (free_port(), str(tmp_path), backend), nprocs=2, start_method=START_METHOD)
    for rank in range(2):
        plain, compiled = torch.load(tmp_path / f"{rank}.pt")
        assert compiled == [pytest.approx(epoch, rel=tolerance) for epoch in plain]


class PartlyUsed(nn.Module):
    """Images [B, 3, H, W] → [B, 2], by one of two layers; `reads` has a branch on the values of the images."""

    def __init__(self, reads: bool = False) -> None:
        super().__init__()
        self.used, self.other, self.reads = nn.Linear(3, 2), nn.Linear(3, 2), reads

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return self.other(means) if self.reads and means.sum() > 0 else self.used(means)


def test_a_network_tells_whether_it_uses_all_parameters():
    whole = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 2))
    assert not has_unused_parameters(whole, 4)
    assert has_unused_parameters(PartlyUsed(), 4)
    assert has_unused_parameters(PartlyUsed(reads=True), 4), "where the values decide, nothing is known"
    whole[1].bias.requires_grad_(False)
    assert not has_unused_parameters(whole, 4)
    assert whole[1].weight.grad is None and whole.training
