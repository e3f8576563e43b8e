"""Two processes are one run: the same images evaluated once each, the same draws, nearly the same losses."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing import spawn

from sota_exp.data.loading import load
from sota_exp.distributed import World, interleave, join, leave
from sota_exp.stages import View
from sota_exp.train import fit, start
from tests.experiments import OFF, TINY, composed, session_of

#: Per-sample draws in every part of the pipeline; nothing that looks at the whole batch.
SLICED = ("augmentation/crop=random_resized", "augmentation/flip=random", "augmentation/policy=trivialaugment",
          "augmentation/erase=random_erasing", "augmentation.erase.p=0.5", "regularization/norm=group",
          "optimizer.lr=0.05")  # fmt: skip


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def measured(world: World) -> dict:
    """What one process sees: evaluation, the first batch after the pipeline, losses, final weights."""
    session, evaluator = session_of(composed(*TINY, *OFF, *SLICED, "data.num_images=61").experiment, world)
    torch.manual_seed(0)
    network = session.network()
    view = View(resize=16, size=16)
    state = start(session)
    crops, positions = next(load(session.crops, range(1), 0, False))
    learned = session.experiment.supervision(session.data.labels[session.data.train], 4, 0, list, session.streams)
    batch = session.pipeline(session.batch(crops, positions, learned, 0), 0, 0.0)
    return {
        "logits": {split: evaluator.logits(network, split, view) for split in ("train", "val", "test")},
        "images": batch.images,
        "positions": positions,
        "losses": [record.metrics["train/loss"] for record in fit(session, state) if "metrics" in vars(record)],
        "weights": state.model.state_dict(),
    }


def worker(rank: int, port: int, directory: str, arguments: tuple[str, ...]) -> None:
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    torch.set_num_threads(1)
    world = join("cpu")
    try:
        if arguments:
            from sota_exp.cli import run

            os.chdir(directory)
            Path(f"status{rank}").write_text(str(run(["train", *arguments])))
        else:
            torch.save(measured(world), Path(directory) / f"rank{rank}.pt")
    finally:
        leave()


def two_processes(directory: Path, *arguments: str) -> None:
    spawn(worker, (free_port(), str(directory), arguments), nprocs=2)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    directory = tmp_path_factory.mktemp("world")
    alone = measured(World())
    two_processes(directory)
    return alone, [torch.load(directory / f"rank{rank}.pt") for rank in range(2)]


def test_every_image_is_scored_once_in_order_on_every_rank(both):
    """61 images: no split divides by two, and nothing is padded."""
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
    """Only the order of sums differs: each rank's loss is its half's mean, gradients are averaged."""
    alone, ranks = both
    means = torch.tensor([rank["losses"] for rank in ranks]).mean(0)
    assert means.tolist() == pytest.approx(alone["losses"], rel=1e-3)
    for name, value in alone["weights"].items():
        torch.testing.assert_close(ranks[0]["weights"][name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_ranks_hold_the_same_weights_to_the_bit(both):
    _, (first, second) = both
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())


@pytest.mark.slow
def test_a_whole_run_of_two_processes_counts_what_one_counts(tmp_path, monkeypatch):
    arguments = (*TINY, *OFF, *SLICED, "data.num_images=61", "hydra.run.dir=run")
    two_processes(tmp_path, *arguments)
    assert [(tmp_path / f"status{rank}").read_text() for rank in range(2)] == ["0", "0"]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    _, alone = session_of(composed(*TINY, *OFF, *SLICED, "data.num_images=61").experiment)
    assert result["evaluated_images"] == {split: len(alone.labels(split)) for split in ("val", "test")}
    assert (result["status"], result["images_seen"]) == ("finished", 96)


def test_alone_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join("cpu") == World()
    assert not dist.is_initialized()
    rows = torch.rand(5, 2)
    assert interleave(rows, World()) is rows


def test_a_batch_that_does_not_divide_names_its_key():
    with pytest.raises(Exception, match="batch_size=16 does not divide among 3 processes"):
        session_of(composed(*TINY, *OFF).experiment, World(size=3))
