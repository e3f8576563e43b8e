"""Four workers on one study in PostgreSQL and one MLflow server; a worker is killed, and both servers restart midway.

`python -m benchmarks.shared_stores [TRIALS]` starts the stores by deploy/start_stores.sh, prints what is in them at the
end, as in docs/scale.md, and ends with an assertion where a trial, an epoch or a point is missing or there twice. It takes
a few minutes. Needs PostgreSQL's programs.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import optuna
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import Trial

from sota_exp.cli.dashboard import find_free_port
from sota_exp.config.credentials import reveal_credentials
from sota_exp.runs.contents import RunContent
from sota_exp.runs.mlflow_store import mlflow_environment
from sota_exp.runs.sent_position import SentPosition
from sota_exp.sweep.storage import StudyStorage
from sota_exp.tracking.mlflow_content import RUN_ARTIFACTS, build_points

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "deploy" / "start_stores.sh"

NUM_WORKERS, NUM_TRIALS, EPOCHS, SECONDS_GONE = 4, 16, 30, 3.0

#: A training of a few seconds, which the median pruner may end.
TRAINING = (
    "search=learning_rate",
    "data=fake",
    "data.image_size=16",
    "data.num_images=400",
    "data.num_classes=4",
    "data.min_side=20",
    "data.max_side=28",
    "model.arch.name=resnet_xs",
    "model.arch.width_multiplier=0.25",
    "batch_size=64",
    f"schedule.length.epochs={EPOCHS}",
    "runtime.threads=1",
    "tracking.figures=false",
    "hydra.sweep.dir=sweep",
    "hydra.sweeper.confirm.top=0",
)


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


class Addresses(NamedTuple):
    """Of both stores, as overrides of a command name them."""

    study: str
    mlflow: str


def call_script(folder: Path, ports: Mapping[str, str], *words: str) -> str:
    """What deploy/start_stores.sh prints. ports: those and other variables of it. words: `stop`."""
    here = os.environ | {"PYTHON": sys.executable} | dict(ports)
    done = subprocess.run(
        [SCRIPT, folder, *words], env=here, check=True, stdout=subprocess.PIPE, text=True, timeout=600
    )
    return done.stdout


def choose_ports() -> dict[str, str]:
    return {"POSTGRES_PORT": str(find_free_port(5440)), "MLFLOW_PORT": str(find_free_port(5540))}


def start(folder: Path, ports: Mapping[str, str]) -> Addresses:
    """Start what does not run."""
    study, mlflow = (line.partition("=")[2] for line in call_script(folder, ports).split())
    return Addresses(study, mlflow)


@contextmanager
def stores(folder: Path, ports: Mapping[str, str]) -> Iterator[Addresses]:
    """Both servers, which end with the block."""
    try:
        yield start(folder, ports)
    finally:
        call_script(folder, ports, "stop")


def crash(folder: Path) -> None:
    """Both servers end without a word: PostgreSQL as at a power cut, MLflow by SIGKILL."""
    os.killpg(int((folder / "mlflow.pid").read_text()), signal.SIGKILL)
    postmaster = int((folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGQUIT)
    while (folder / "postgres" / "data" / "postmaster.pid").exists():
        time.sleep(0.1)


def count_epochs(place: Path) -> int:
    return sum(len(file.read_text().splitlines()) for file in (place / "sweep").glob("[0-9]*/metrics.jsonl"))


def wait_for_epochs(place: Path, num: int, workers: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Until so many epochs are trained, or no worker is left."""
    while count_epochs(place) < num and any(worker.poll() is None for worker in workers):
        time.sleep(0.1)


def list_command(addresses: Addresses, num_trials: int) -> list[str]:
    """The command of each worker."""
    stores = [f"hydra.sweeper.storage={addresses.study}", f"tracking.uri={addresses.mlflow}"]
    return [sys.executable, "-m", "sota_exp", "sweep", *TRAINING, f"hydra.sweeper.n_trials={num_trials}", *stores]


def search(place: Path, addresses: Addresses, num_trials: int, restart: Mapping[str, str]) -> list[int]:
    """The sweep in `place`, disturbed twice; exit statuses of the workers. restart: the ports of the stores."""
    command = list_command(addresses, num_trials)
    with (place / "log").open("wb") as log:
        workers = [
            subprocess.Popen(command, cwd=place, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
            for _ in range(NUM_WORKERS)
        ]
        try:
            wait_for_epochs(place, EPOCHS * num_trials // 4, workers)
            os.killpg(workers[0].pid, signal.SIGKILL)
            wait_for_epochs(place, EPOCHS * num_trials // 2, workers)
            crash(place / "stores")
            time.sleep(SECONDS_GONE)
            start(place / "stores", restart)
            return [worker.wait(timeout=1800) for worker in workers]
        finally:
            for worker in workers:
                if worker.poll() is None:
                    os.killpg(worker.pid, signal.SIGKILL)


def count_trials(place: Path, url: str, num_trials: int) -> dict[str, int]:
    """What the study says, compared with the files of the runs.

    Raises:
        AssertionError: a trial is missing, was lost or drawn twice, or an epoch was not reported once.
    """
    storage = optuna.storages.RDBStorage(url)
    trials = optuna.load_study(study_name="sweep", storage=storage).get_trials(deepcopy=False)
    storage.remove_session()
    storage.engine.dispose()
    states = Counter(trial.state.name for trial in trials)
    assert [trial.number for trial in trials] == list(range(num_trials)), trials
    assert states.total() == states["COMPLETE"] + states["PRUNED"], states
    for trial in trials:
        lines = map(json.loads, (place / "sweep" / str(trial.number) / "metrics.jsonl").read_text().splitlines())
        assert trial.intermediate_values == {line["epoch"]: line["val/accuracy"] for line in lines}, trial
    reports = sum(len(trial.intermediate_values) for trial in trials)
    return {
        "trials complete": states["COMPLETE"],
        "trials pruned": states["PRUNED"],
        "trials failed or still running": states.total() - states["COMPLETE"] - states["PRUNED"],
        "trials taken over after the kill": sum("taken_up" in trial.user_attrs for trial in trials),
        "epochs reported, each once": reports,
    }


def count_in_mlflow(place: Path, uri: str, num_trials: int) -> dict[str, int]:
    """What MLflow has, compared with the files of the runs.

    Raises:
        AssertionError: a run, a point or a file is missing, is there twice, or is another.
    """
    with mlflow_environment(uri, 30, 2):
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("sota_exp").experiment_id
        runs = [run for run in client.search_runs([experiment]) if run.data.tags["kind"] == "trial"]
        directories = sorted(int(Path(run.data.tags["directory"]).name) for run in runs)
        assert directories == list(range(num_trials)), directories
        return {"runs in MLflow": len(runs)} | sum_up([compare_run(client, run) for run in runs])


def compare_run(client: MlflowClient, run: Run) -> dict[str, int]:
    """Points and files of a run in MLflow, which are those in its directory."""
    directory = Path(run.data.tags["directory"])
    content = RunContent.read(directory, SentPosition.read(directory).origin)
    wanted = sorted((point.key, point.step, float(point.value)) for point in build_points(content))
    keys = (key for key in run.data.metrics if not key.startswith("system/"))
    series = [client.get_metric_history(run.info.run_id, key) for key in keys]
    found = sorted((point.key, point.step, point.value) for points in series for point in points)
    assert found == wanted, (directory, Counter(found) - Counter(wanted), Counter(wanted) - Counter(found))
    assert run.info.status == content.mlflow_status, (directory, run.info.status)
    files = {item.path: item.file_size for item in client.list_artifacts(run.info.run_id) if not item.is_dir}
    kept = {name: (directory / name).stat().st_size for name in RUN_ARTIFACTS if (directory / name).is_file()}
    assert files == kept, (directory, files, kept)
    return {"points in MLflow, each once": len(found), "files in its store of artifacts": len(files)}


def sum_up(rows: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return dict(sum(map(Counter, rows), Counter[str]()))


def count_transactions(url: str) -> dict[str, int]:
    """Transactions that PostgreSQL has committed since it started, by database."""
    engine = sqlalchemy.create_engine(reveal_credentials(url))
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.text("SELECT datname, xact_commit FROM pg_stat_database"))
        counts = {str(name): int(number) for name, number in found if name}
    engine.dispose()
    return counts


def count_further(place: Path, addresses: Addresses, num_trials: int, num: int = 2) -> dict[str, int]:
    """Transactions of a further trial, from a command that runs `num` more of them alone."""
    before = count_transactions(addresses.study)
    subprocess.run(
        list_command(addresses, num_trials + num), cwd=place, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL
    )
    time.sleep(2)  # PostgreSQL publishes its counts each second.
    after = count_transactions(addresses.study)
    named = {"optuna": "transactions a trial in the study", "mlflow": "transactions a run in MLflow's database"}
    return {name: round((after[database] - before[database]) / num) for database, name in named.items()}


def time_store(url: str, num: int = 50) -> dict[str, float]:
    """Milliseconds of what a trial does at the study: to be taken, under the lock of the study, and to write a value."""
    store = StudyStorage(url=url, name="timing", heartbeat=10, grace=60)
    with store.lock():
        study = store.study(["maximize"])
    seconds: dict[str, list[float]] = {"ms to take a trial": [], "ms to write a value": []}
    for number in range(num):
        began = time.perf_counter()
        with store.lock() as check:
            trial = Trial(study, study._storage.create_new_trial(study._study_id))
            trial.suggest_float("lr", 1e-3, 1.0, log=True)
            check()
        seconds["ms to take a trial"].append(time.perf_counter() - began)
        began = time.perf_counter()
        trial.report(0.5, number)
        seconds["ms to write a value"].append(time.perf_counter() - began)
    return {name: round(1000 * median(found), 1) for name, found in seconds.items()}


def sync(place: Path) -> str:
    """What `sota-exp sync` said."""
    command = [sys.executable, "-m", "sota_exp", "sync", "sweep"]
    done = subprocess.run(command, cwd=place, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def show(num_trials: int = NUM_TRIALS) -> dict[str, Any]:
    """The whole, and the rows of its table."""
    with tempfile.TemporaryDirectory() as folder:
        place, ports = Path(folder), choose_ports()
        place.chmod(0o755)  # PostgreSQL's own user reads below it.
        (place / "stores").mkdir()
        with stores(place / "stores", ports) as addresses:
            began = time.monotonic()
            ends = search(place, addresses, num_trials, ports)
            seconds = time.monotonic() - began
            assert ends == [-signal.SIGKILL, *[0] * (NUM_WORKERS - 1)], (ends, (place / "log").read_text()[-3000:])
            rows: dict[str, Any] = count_trials(place, addresses.study, num_trials)
            sync(place)
            rows |= count_in_mlflow(place, addresses.mlflow, num_trials)
            again = sync(place)
            sent = re.search(r"(\d+) runs? sent", again)
            rows["runs of which a second `sync` sends anything"] = int(sent[1]) if sent else 0
            assert f"{num_trials} runs: nothing was missing" in again.splitlines(), again
            rows |= time_store(addresses.study) | count_further(place, addresses, num_trials)
    return rows | {"seconds, restarts included": round(seconds)}


if __name__ == "__main__":
    for name, value in show(*map(int, sys.argv[1:])).items():
        print(f"| {name} | {value:,} |")
