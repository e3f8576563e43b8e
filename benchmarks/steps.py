"""What tracking takes from a training while it trains: the time of its steps against the same training without tracking.

Run as `python -m benchmarks.steps`. One training per server. A process beside it sends its files; that process is stopped
(SIGSTOP) in every other block of steps, as if there were no tracking, so blocks with and without it come in pairs of one
training, each of them first in turn. Medians over the pairs: of the processor time of the training, which is firmer on a
busy machine, and of the wall-clock time.
"""

import argparse
import contextlib
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.outages import absent, failing, working
from sota_exp.tracking.listeners import TrackingListener
from sota_exp.tracking.mlflow import MLflowFollower
from sota_exp.tracking.mlflow_process import close_idle
from sota_exp.training.listener import Listener, Pruner, RunRequest
from sota_exp.training.loop import StepRecord, TrainingSession, TrainingState
from sota_exp.training.run import run
from tests.experiments import OFF, TINY, composed
from tests.torture.servers import serve

#: Most processor time of a step with tracking, in times of that without, and steps of a block.
MOST, BLOCK = 1.01, 6


class Times(NamedTuple):
    """Seconds of a step: of the processor, and of the clock on the wall."""

    processor: float
    wall: float


def now() -> Times:
    return Times(time.process_time(), time.monotonic())


class AlternatingListener(TrackingListener):
    """Stops the sending process in the blocks without tracking, and takes the times of the steps of each block."""

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None:
        super().on_start(request, session, state)
        assert isinstance(self.follower, MLflowFollower)
        self.pid = self.follower.following.process.pid
        self.steps_per_epoch = session.steps_per_epoch
        self.blocks: list[list[Times]] = []
        time.sleep(10)  # The start of the process, with its imports, is not what is measured.

    def on_step(self, record: StepRecord) -> None:
        place = (record.step - 1) % self.steps_per_epoch
        if place >= self.steps_per_epoch // BLOCK * BLOCK:
            return  # A block has no validation.
        if place % BLOCK == 0:
            os.kill(self.pid, signal.SIGCONT if is_tracked(len(self.blocks)) else signal.SIGSTOP)
            self.blocks.append([])
        self.blocks[-1].append(now())

    def on_end(self, result: dict[str, object]) -> None:
        os.kill(self.pid, signal.SIGCONT)
        super().on_end(result)

    def measure(self, block: int) -> Times:
        """The mean time of the steps of a block after its first."""
        first, last = self.blocks[block][0], self.blocks[block][-1]
        return Times((last.processor - first.processor) / (BLOCK - 1), (last.wall - first.wall) / (BLOCK - 1))


def is_tracked(block: int) -> bool:
    """Pairs of blocks: without and with, with and without, and so on."""
    return block % 4 in (1, 2)


def train(uri: str, directory: Path, num_epochs: int) -> list[tuple[Times, Times]]:
    """(with tracking, without) of each pair of blocks of a training, without the first pair."""
    configuration = composed(
        *(word for word in TINY if not word.startswith(("tracking", "schedule", "data.num_images"))),
        *OFF,
        *("data.num_images=2000", f"schedule.length.epochs={num_epochs}", "model.arch.width_multiplier=1"),
        *("tracking=mlflow", f"tracking.uri={uri}", "tracking.figures=false", "tracking.patience=5"),
    )
    listener = AlternatingListener(inner=Listener(), is_main=True, say=lambda text: None)
    run(RunRequest(configuration=configuration, directory=directory), listener, Pruner())
    close_idle()
    pairs = [(block, block + 1) for block in range(2, len(listener.blocks) - 1, 2)]
    ordered = [pair if is_tracked(pair[0]) else pair[::-1] for pair in pairs]
    return [(listener.measure(tracked), listener.measure(plain)) for tracked, plain in ordered]


def find_median(ratios: list[float]) -> tuple[float, float]:
    """The median and its standard error, from the quartiles as of a normal distribution."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return median, 1.2533 * (high - low) / 1.349 / len(ratios) ** 0.5


@contextlib.contextmanager
def healthy() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, working(Path(folder)) as (uri, _):
        yield uri


SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "works": healthy,
    "is away": absent,
    "sends one byte per second": lambda: serve("one byte per second"),
    "answers 500": failing,
}


def main(arguments: list[str] | None = None) -> int:
    """Print a row per server; returns 1 if the processor time of a step is above its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of a training: eight pairs of blocks each (40)")
    num_epochs = parser.parse_args(arguments).epochs
    torch.set_num_threads(1)
    print("| server | pairs | ms of a step | processor time, × that without tracking | wall-clock time |")
    print("|---|---|---|---|---|")
    is_slow = False
    for words, server in SERVERS.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), server() as uri:
            pairs = train(uri, Path(folder) / "run", num_epochs)
        processor, processor_error = find_median([tracked.processor / plain.processor for tracked, plain in pairs])
        wall, wall_error = find_median([tracked.wall / plain.wall for tracked, plain in pairs])
        step = 1000 * statistics.median(plain.processor for _, plain in pairs)
        row = (
            words,
            len(pairs),
            f"{step:.1f}",
            f"{processor:.4f} ± {processor_error:.4f}",
            f"{wall:.3f} ± {wall_error:.3f}",
        )
        print("|", " | ".join(map(str, row)), "|", flush=True)
        is_slow |= processor - 2 * processor_error > MOST
    return int(is_slow)


if __name__ == "__main__":
    raise SystemExit(main())
