"""Two processes of one run: each image evaluated once, the same random numbers, nearly the same losses."""

import json
import os
import signal
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import start_processes

from sota_exp.data.train_loader import load_crops
from sota_exp.errors import ConfigError, Interrupted
from sota_exp.runs.files import RunFiles
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training.distributed import World, gather_interleaved, join_process_group, leave_process_group
from sota_exp.training.listener import Pruner
from sota_exp.training.loop import EpochRecord, fit, start_training
from sota_exp.training.run import run
from sota_exp.training.trainer import RunTrainer
from tests.composing import compositions_share_their_work
from tests.experiments import OFF, TINY, composed, session_of
from tests.forked import START_METHOD
from tests.training.test_run import Silent, assert_same_run, request, signalled_at
from tests.training.test_signal_in_validation import at_batch

#: Random numbers per sample in every part of the pipeline; nothing that depends on the whole batch.
# At five times this learning rate six steps make 1 % of a difference in the last bit.
SLICED = ("augmentation/crop=random_resized", "augmentation/flip=random", "augmentation/policy=trivialaugment",
          "augmentation/erase=random_erasing", "augmentation.erase.p=0.5", "regularization/norm=group",
          "optimizer.lr=0.01")  # fmt: skip


#: Options of the average, and values under which two epochs of three steps have one.
AVERAGES = {
    "none": (),
    "ema": ("regularization.average.every=1", "regularization.average.horizon=0.5"),
    "swa": ("regularization.average.start=0.2", "regularization.average.num_snapshots=3"),
}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def shipped(world: World, average: str) -> dict:
    """Of one process after two epochs with batch norm: the evaluated weights, their scores, its own logits."""
    words = (*TINY, *OFF, "data.num_images=61", "optimizer.lr=0.05", f"regularization/average={average}")
    session, evaluator = session_of(composed(*words, *AVERAGES[average]).experiment, world)
    state = start_training(session)
    training = RunTrainer(session=session, state=state, files=RunFiles(directory=Path()),
                        training_fingerprint="")  # fmt: skip
    metrics = [training.validate() for record in fit(session, state) if isinstance(record, EpochRecord)]
    view = EvaluationView(resize=16, size=16)
    whole, module = replace(evaluator, world=World(), _cache={}), state.average.module.eval()
    with torch.no_grad():
        stem = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
        first = torch.cat([stem(images) for images in whole.images("train", view)])
    return {
        "metrics": metrics,
        "model": state.model.state_dict(),
        "module": module.state_dict(),
        "first": first[: len(first) // 2 * 2].mean((0, 2, 3)),
        "first_layer": next(layer.running_mean for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)),
        "logits": whole.logits(module, "val", view),
    }


def refused(world: World, *words: str) -> str:
    """The message of the error with which a training does not start, or empty."""
    session, _ = session_of(composed(*TINY, *OFF, *words).experiment, world)
    try:
        start_training(session)
    except ConfigError as error:
        return str(error)
    return ""


class Once(Pruner):
    """Prunes a run after its first epoch; called in the main process only."""

    def __init__(self, world: World) -> None:
        self.world = world

    def verdict(self, epoch: dict) -> str:
        assert self.world.is_main
        return f"enough after epoch {epoch['epoch']}"


def given_up(world: World) -> dict:
    """Of one process: a training that is pruned by the main process."""
    session, _ = session_of(composed(*TINY, *OFF, "regularization/norm=group").experiment, world)
    files = RunFiles(directory=Path(tempfile.mkdtemp()))
    training = RunTrainer(session=session, state=start_training(session), files=files,
                        training_fingerprint="")  # fmt: skip
    return {
        "reason": training.go(Silent(), Once(world)),
        "steps": training.state.step,
        "saved": files.load_checkpoint() is not None,
    }


def measured(world: World) -> dict:
    """Of one process: evaluation, the first batch after the pipeline, losses, final weights."""
    session, evaluator = session_of(composed(*TINY, *OFF, *SLICED, "data.num_images=61").experiment, world)
    torch.manual_seed(0)
    network = session.network()
    view = EvaluationView(resize=16, size=16)
    state = start_training(session)
    crops, positions = next(load_crops(session.crops, range(1), 0, False))
    learned = session.experiment.supervision(session.data.labels[session.data.train], 4, 0, list, session.streams)
    batch = session.pipeline(session.batch(crops, positions, learned, 0), 0, 0.0)
    return {
        "logits": {split: evaluator.logits(network, split, view) for split in ("train", "val", "test")},
        "images": batch.images,
        "positions": positions,
        "losses": [record.metrics["train/loss"] for record in fit(session, state) if "metrics" in vars(record)],
        "weights": state.model.state_dict(),
        "given_up": given_up(world),
        "sync": refused(world, "regularization/norm=sync_batch"),
        "shipped": {average: shipped(world, average) for average in AVERAGES},
    }


def worker(rank: int, port: int, directory: str, arguments: tuple[str, ...]) -> None:
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    torch.set_num_threads(1)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # The tests may run under `nohup`.
    world = join_process_group(torch.device("cpu"))
    try:
        with compositions_share_their_work():
            work(world, directory, arguments)
    finally:
        leave_process_group()


def work(world: World, directory: str, arguments: tuple[str, ...]) -> None:
    if arguments and arguments[0] == "signals":
        moments, batches = SETS[arguments[1]]
        found = {
            "interrupted": interrupted(world, Path(directory), moments),
            "in validation": interrupted_in_validation(world, Path(directory), batches),
            "clock": by_the_clock(world, Path(directory)),
        }
        torch.save(found, Path(directory) / f"rank{world.rank}.pt")
    elif arguments:
        torch.save(as_machine(world, Path(directory), arguments[1:]), Path(directory) / f"rank{world.rank}.pt")
    else:
        torch.save(measured(world), Path(directory) / f"rank{world.rank}.pt")


def two_processes(directory: Path, *arguments: str) -> None:
    start_processes(worker, (free_port(), str(directory), arguments), nprocs=2, start_method=START_METHOD)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    directory = tmp_path_factory.mktemp("world")
    alone = measured(World())
    two_processes(directory)
    return alone, [torch.load(directory / f"rank{rank}.pt") for rank in range(2)]


def test_every_image_is_scored_once_in_order_on_every_rank(both):
    """61 images: no split is divisible by two, and nothing is padded."""
    alone, ranks = both
    assert [len(alone["logits"][split]) % 2 for split in ("train", "val", "test")].count(1) >= 1
    for rank in ranks:
        for split, logits in alone["logits"].items():
            torch.testing.assert_close(rank["logits"][split], logits, rtol=1e-5, atol=1e-6)


def test_each_rank_takes_every_second_of_the_same_draws(both):
    alone, ranks = both
    for index, rank in enumerate(ranks):
        assert torch.equal(rank["positions"], alone["positions"][index::2])
        torch.testing.assert_close(rank["images"], alone["images"][index::2], rtol=1e-5, atol=1e-5)


def test_two_processes_train_as_one(both):
    """Only the order of sums differs: the loss of a rank is the mean over its half, and gradients are averaged."""
    alone, ranks = both
    means = torch.tensor([rank["losses"] for rank in ranks]).mean(0)
    assert means.tolist() == pytest.approx(alone["losses"], rel=1e-3)
    for name, value in alone["weights"].items():
        torch.testing.assert_close(ranks[0]["weights"][name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_ranks_hold_the_same_weights_to_the_bit(both):
    _, (first, second) = both
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())


def test_a_run_that_is_pruned_ends_on_every_process_at_the_same_step(both):
    alone, ranks = both
    assert alone["given_up"] == {"reason": "enough after epoch 1", "steps": 3, "saved": True}
    assert [rank["given_up"] for rank in ranks] == [alone["given_up"], alone["given_up"] | {"saved": False}]


@pytest.mark.parametrize("average", AVERAGES)
def test_with_batch_norm_every_process_scores_the_network_that_ships(both, average):
    """Each process has norm statistics of its own images; they are averaged before validation."""
    _, ranks = both
    first, second = (rank["shipped"][average] for rank in ranks)
    for name in ("model", "module"):
        assert all(torch.equal(value, second[name][key]) for key, value in first[name].items()), name
    assert first["metrics"] == second["metrics"]
    assert torch.equal(first["logits"], second["logits"])


def test_swas_statistics_are_of_all_training_images_not_of_one_process(both):
    """Equally many images on each process: of an odd number the last is left out."""
    _, ranks = both
    for rank in ranks:
        found = rank["shipped"]["swa"]
        torch.testing.assert_close(found["first_layer"], found["first"], rtol=1e-4, atol=1e-5)


def test_synchronized_batch_norm_on_processors_is_one_line_that_names_it(both):
    _, ranks = both
    for rank in ranks:
        assert rank["sync"].startswith("regularization/norm=sync_batch: torch synchronizes batch norm on CUDA devices")
        assert "2 processes are on runtime.device=cpu" in rank["sync"] and "\n" not in rank["sync"]


#: An average and batch norm, so that each process has statistics of its own within an epoch; micro-batches.
STATEFUL = ("regularization/average=ema", "regularization.average.every=1", "regularization.average.horizon=0.5",
            "schedule/accumulation=micro_batches", "schedule.accumulation.micro_batch_size=4",
            "regularization/clip=norm", "optimizer.lr=0.05")  # fmt: skip

#: After which step which process gets which signal, and the step after which both stop.
MOMENTS = (
    (1, 1, signal.SIGUSR1, 2),
    (0, 1, signal.SIGTERM, 2),
    (1, 2, signal.SIGUSR2, 3),  # the last of an epoch: it is validated first
    (1, 3, signal.SIGHUP, 3),
    (0, 4, signal.SIGINT, 5),
)

#: The moments, and the batches below. `few`: in an epoch, at the end of one, and in the second by the other process; in
#: the scores of the second epoch, and in the final ones.
SETS = {"few": (MOMENTS[::2], [1, 3]), "all": (MOMENTS, [0, 1, 2, 3])}


def interrupted(
    world: World, directory: Path, moments: Sequence[tuple[int, int, signal.Signals, int]]
) -> list[tuple[int, int, int]]:
    """Of one process of runs that get a signal each: (signal, step of the end, first step of the resumed run)."""
    found = []
    run(request(directory / "whole", *STATEFUL), Silent())
    for index, (rank, moment, number, _) in enumerate(moments):
        place = directory / str(index)
        listener, again = Silent(signalled_at(moment, number) if rank == world.rank else lambda step: None), Silent()
        try:
            run(request(place, *STATEFUL), listener)
        except Interrupted as error:
            world.wait()
            run(request(place, *STATEFUL), again)
            found.append((error.signal_number, listener.steps[-1], again.first_step))
        world.wait()
    return found


#: Which process gets SIGTERM at which of its batches of one image: in the first epoch's scores, in the second's, in
#: those of the trained weights, and in the final ones. Others have a batch more or less. After how many steps all stop,
#: and whether an epoch is still to be validated.
BATCHES = ((1, 2, 3, True), (0, 9, 6, True), (1, 10, 6, True), (1, 15, 6, False))

SCORED = (*STATEFUL, "data.num_images=61", "evaluation.batch_size=1")


def interrupted_in_validation(world: World, directory: Path, batches: Sequence[int]) -> list[tuple[int, int, bool]]:
    """Of one process of runs that get a signal at a batch: (signal, steps, whether an epoch is to be validated)."""
    found = []
    run(request(directory / "scored", *SCORED), Silent())
    for index in batches:
        rank, batch, *_ = BATCHES[index]
        place, listener = directory / f"scored{index}", Silent()
        try:
            with at_batch(batch, signal.SIGTERM if rank == world.rank else None):
                run(request(place, *SCORED), listener)
        except Interrupted as error:
            world.wait()
            checkpoint = RunFiles(directory=place).load_checkpoint()
            found.append((error.signal_number, listener.steps[-1], checkpoint["unclosed"] is not None))
            world.wait()
            run(request(place, *SCORED), Silent())
        world.wait()
    return found


def by_the_clock(world: World, directory: Path) -> list[int]:
    """Of one process: the steps after which a training with checkpoints every 6 ms wrote one."""
    saved, original = [], RunTrainer.save

    def save(training: RunTrainer) -> None:
        original(training)
        saved.append(training.state.step)

    RunTrainer.save = save
    try:
        run(request(directory / "clock", *STATEFUL, "runtime.checkpoint_minutes=0.0001"), Silent())
    finally:
        RunTrainer.save = original
    return saved


@pytest.fixture(scope="module", params=["few", pytest.param("all", marks=pytest.mark.torture)])
def signalled(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("signalled")
    two_processes(directory, "signals", request.param)
    return directory, [torch.load(directory / f"rank{rank}.pt") for rank in range(2)], SETS[request.param]


def test_a_signal_to_any_process_ends_all_after_the_same_step_and_the_resumed_run_is_equal_to_the_bit(signalled):
    directory, ranks, (moments, _) = signalled
    expected = [(int(number), stop, stop) for _, _, number, stop in moments]
    assert [rank["interrupted"] for rank in ranks] == [expected, expected]
    for index in range(len(moments)):
        assert_same_run(directory / str(index), directory / "whole")


def test_a_signal_to_any_process_within_validation_ends_all_at_the_same_batch(signalled):
    directory, ranks, (_, batches) = signalled
    expected = [(int(signal.SIGTERM), *BATCHES[index][2:]) for index in batches]
    assert [rank["in validation"] for rank in ranks] == [expected, expected]
    for index in batches:
        assert_same_run(directory / f"scored{index}", directory / "scored")


def test_processes_agree_when_the_clock_asks_for_a_checkpoint(signalled):
    directory, (first, second), _ = signalled
    assert first["clock"] == second["clock"]
    assert {step % 3 for step in first["clock"]} > {0}
    assert_same_run(directory / "clock", directory / "whole")


def list_commands(directory: Path) -> dict[str, list[str]]:
    """Commands, one after the other, of two machines that work in folders of `directory`."""
    train = ["train", *TINY, *OFF, *SLICED, "data.num_images=61", "hydra.run.dir=run"]
    score = ["evaluate", f"run={directory / 'machine0' / 'run'}", "hydra.run.dir=scores"]
    return {
        "run": train,
        "repeated": train,
        "another": [*train, "optimizer.lr=0.5"],
        "scores": [*score, "evaluation/tta=none"],
        "repeated scores": [*score, "evaluation/tta=none"],
        "other scores": [*score, "evaluation/tta=flip"],
    }


def as_machine(world: World, directory: Path, ports: Sequence[str]) -> dict[str, dict]:
    """Of one process, in a folder of its own, as on another machine: what it finds after each command."""
    from sota_exp.cli.main import run_command_line

    own, found = directory / f"machine{world.rank}", {}
    own.mkdir()
    os.chdir(own)
    for (name, words), port in zip(list_commands(directory).items(), ports, strict=True):
        os.environ["MASTER_PORT"] = port
        found[name] = {
            "status": run_command_line(words),
            "is joined": dist.is_initialized(),
            "files": {str(path): path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()},
        }
        leave_process_group()
    return found


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    directory = tmp_path_factory.mktemp("machines")
    two_processes(directory, "machines", *(str(free_port()) for _ in list_commands(directory)))
    return directory, [torch.load(directory / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.slow
def test_a_whole_run_of_two_processes_counts_what_one_counts(machines):
    directory, ranks = machines
    assert [rank["run"]["status"] for rank in ranks] == [0, 0]
    assert [rank["run"]["is joined"] for rank in ranks] == [False, False], "else NCCL warns"
    run = directory / "machine0" / "run"
    assert not list(run.glob("runtime-*")), "on CPUs nothing is measured by default"
    result = json.loads((run / "result.json").read_text())
    _, alone = session_of(composed(*TINY, *OFF, *SLICED, "data.num_images=61").experiment)
    assert result["evaluated_images"] == {split: len(alone.labels(split)) for split in ("val", "test")}
    assert (result["status"], result["images_seen"]) == ("finished", 96)


@pytest.mark.slow
def test_machines_need_no_common_folder_and_a_repeated_run_is_the_main_ones(machines):
    """The first one alone reads and writes the run."""
    directory, (main, other) = machines
    for name, expected in (("run", 0), ("repeated", 0), ("another", 2), ("scores", 0), ("repeated scores", 0),
                           ("other scores", 2)):  # fmt: skip
        assert [main[name]["status"], other[name]["status"]] == [expected] * 2, name
        joined = expected == 2  # after a success all have left, else NCCL warns
        assert [main[name]["is joined"], other[name]["is joined"]] == [joined] * 2, name
        assert [path for path in other[name]["files"] if path.startswith(("run/", "scores/"))] == []
    for first, second, path in (
        ("run", "repeated", "run/result.json"),
        ("scores", "repeated scores", "scores/result.json"),
    ):
        assert main[first]["files"][path] == main[second]["files"][path]
        assert json.loads((directory / "machine0" / path).read_text())["status"] == "finished"


def test_alone_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_process_group(torch.device("cpu")) == World()
    assert not dist.is_initialized()
    rows = torch.rand(5, 2)
    assert gather_interleaved(rows, World()) is rows


def test_a_batch_that_does_not_divide_names_its_key():
    with pytest.raises(Exception, match="batch_size=16 is not divisible by the 3 processes"):
        session_of(composed(*TINY, *OFF).experiment, World(size=3))
