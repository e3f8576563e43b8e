"""What showing a run in MLflow takes from the processor, against an epoch of ten seconds.

Training itself calls nothing between its start and its end: a process of its own follows the run's files. So its share is the
processor time of that process for one epoch more, with system metrics, on an SQLite store; its start is left out.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from sota_exp.stages.tracking import Tracking

EPOCH_SECONDS, NUM_EPOCHS = 10.0, 5

#: A training of seconds, whose files are then written anew at the pace of long epochs.
TRAINING = ("train", "data=fake", "scale=smoke", "tracking.uri=sqlite:///mlflow.db", "tracking.figures=false")


def trained(root: Path) -> Path:
    directory = root / "run"
    command = [sys.executable, "-m", "sota_exp", *TRAINING, f"hydra.run.dir={directory}"]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, cwd=root, env=here, check=True, stdout=subprocess.DEVNULL)
    return directory


def as_it_began(directory: Path) -> dict[str, Any]:
    """Take back what the run wrote while it trained, as if this process trained it now; one epoch's line."""
    line: dict[str, Any] = json.loads((directory / "metrics.jsonl").read_text().splitlines()[0])
    start = json.loads((directory / "start.json").read_text())
    now = {"id": f"{start['id']}-again", "pid": os.getpid(), "time": time.time()}
    (directory / "start.json").write_text(json.dumps(start | now))
    for name in ("result.json", "metrics.jsonl", "tracking.json"):
        (directory / name).unlink(missing_ok=True)
    return line


def tracking_of(directory: Path) -> Tracking:
    from sota_exp.config.build import build

    return build(Tracking, yaml.safe_load((directory / "config.yaml").read_text())["tracking"], "tracking")


def processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def wait_until_idle(process: psutil.Process) -> None:
    """Until its start is over: it has imported MLflow, made the store and sent what was there."""
    before, now = -1.0, 0.0
    while now < 1 or now - before > 0.1:
        time.sleep(EPOCH_SECONDS / 2)
        before, now = now, processor_seconds(process)


def seconds_an_epoch(directory: Path, num_before: int) -> float:
    """Processor seconds of the following process an epoch, after `num_before` epochs that were there before."""
    line = as_it_began(directory)
    epochs = [
        line | {"epoch": number + 1, "step": (number + 1) * line["step"]} for number in range(num_before + NUM_EPOCHS)
    ]
    lines = [json.dumps(epoch) + "\n" for epoch in epochs]
    (directory / "metrics.jsonl").write_text("".join(lines[:num_before]))
    follower = tracking_of(directory).follow(directory)
    (child,) = (each for each in psutil.Process().children() if "mlflow_follow" in " ".join(each.cmdline()))
    wait_until_idle(child)
    before = processor_seconds(child)
    for number in range(num_before, num_before + NUM_EPOCHS):
        with (directory / "metrics.jsonl").open("a") as file:
            file.write(lines[number])
        time.sleep(EPOCH_SECONDS)
    after = processor_seconds(child)
    follower.finish()
    return (after - before) / NUM_EPOCHS


def measure() -> list[dict[str, Any]]:
    """A row for a new run and one for a run of a thousand epochs."""
    return [measure_after(num_before) for num_before in (0, 1000)]


def measure_after(num_before: int) -> dict[str, Any]:
    """`ratio` is an epoch over its tracking; 200 is half a percent."""
    with tempfile.TemporaryDirectory() as root:
        before = Path.cwd()
        os.chdir(root)
        try:
            mine = seconds_an_epoch(trained(Path(root)), num_before)
        finally:
            os.chdir(before)
    return {
        "name": f"tracking in MLflow after {num_before:,} epochs, against an epoch of ten seconds",
        "ours": round(1000 * mine, 1),
        "peer": round(1000 * EPOCH_SECONDS, 1),
        "ratio": round(EPOCH_SECONDS / mine, 1),
        "goal": 200,
        "unit": "ms of processor time an epoch",
        "precision": None,
        "model": None,
        "image_size": None,
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
