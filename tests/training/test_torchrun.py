"""`torchrun … sota-exp train`, started as its users start it: real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.options import ROOT
from tests.training.test_kill import LONG, epochs
from tests.training.test_run import assert_same_run

pytestmark = pytest.mark.torture

#: Seconds after SIGTERM in which torchrun kills what it started.
PATIENCE = 30


def start(place: Path) -> subprocess.Popen[bytes]:
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "sota_exp", "train")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with place.with_suffix(".txt").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", *launcher, *LONG, "schedule.length.epochs=3", f"hydra.run.dir={place}"],
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )


def test_sigterm_to_torchrun_in_an_epoch_leaves_a_checkpoint_and_the_repeated_command_ends_alike(
    tmp_path: Path,
) -> None:
    place, reference = tmp_path / "ended", tmp_path / "reference"
    assert start(reference).wait(300) == 0
    process = start(place)
    while not epochs(place) and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)
    seconds = time.monotonic() - began
    result = json.loads((place / "result.json").read_text())
    assert (result["status"], result["reason"].partition(";")[0]) == ("interrupted", "interrupted by signal 15")
    assert (place / "checkpoint" / "state.pt").is_file() and seconds < PATIENCE
    assert start(place).wait(300) == 0
    assert json.loads((place / "result.json").read_text())["resumed"] == 1
    assert_same_run(place, reference)
