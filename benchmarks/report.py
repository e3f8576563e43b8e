"""`sota-exp report` on 10,000 stored runs: 20 arms of 500 seeds, in a process of its own. Goals: 10 s and 500 MB.

`python -m benchmarks.report` measures it alone, `python -m benchmarks.report DIR` only makes the runs, which takes a minute.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.limits import limit
from tests.report.studies import write_study

NUM_ARMS, NUM_SEEDS = 20, 500
GOAL_SECONDS, GOAL_MEGABYTES = 10, 500


def make(directory: Path, num_arms: int = NUM_ARMS, num_seeds: int = NUM_SEEDS) -> Path:
    """A star of small runs: every arm against the first."""
    steps = [(f"arm_{index:02d}", f"Arm {index}", 0.002 * (index % 7) - 0.004) for index in range(num_arms)]
    return write_study(directory, steps, range(num_seeds), "add_one_in", num_test=100, num_epochs=14)


def run(directory: Path) -> tuple[float, float]:
    """(seconds, megabytes at the peak) of the command on the study in a directory."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "sota_exp", "report", str(directory)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    kilobytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return time.perf_counter() - begun, kilobytes / 1000


def measure() -> list[dict[str, object]]:
    """Two rows: the time and the memory. Both steps are taken from a small process, whose own memory counts as the command's."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "benchmarks.report", place], check=True)
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.report", place, "run"], check=True, stdout=subprocess.PIPE
        )
        seconds, megabytes = json.loads(ran.stdout)
    return [
        limit("report on 10,000 stored runs, time", seconds, GOAL_SECONDS, "s"),
        limit("report on 10,000 stored runs, memory", megabytes, GOAL_MEGABYTES, "MB"),
    ]


if __name__ == "__main__":
    if sys.argv[2:] == ["run"]:
        print(json.dumps(run(Path(sys.argv[1]))))
    elif sys.argv[1:]:
        make(Path(sys.argv[1]))
    else:
        for found in measure():
            print(f"{found['name']}: {found['ours']} {found['unit']}, limit {found['peer']}")
