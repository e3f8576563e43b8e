"""An upload completes the store from any state, and never sends anything twice."""

import errno
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Metric, Run
from mlflow.exceptions import MlflowException

from sota_exp.cli import sync
from sota_exp.config import formats, search_path
from sota_exp.report.folds import FoldRun, build_folds_json, write_folds
from sota_exp.runs.contents import RunContent
from sota_exp.runs.mlflow_store import build_mlflow_environment
from sota_exp.runs.sent_position import SentPosition, read_origin
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.tracking import sync as tracking_sync
from sota_exp.tracking.mlflow_content import build_points
from sota_exp.tracking.mlflow_parent import end_parent_run, update_parent_run
from sota_exp.tracking.mlflow_upload import FileNotStored, MLflowUpload
from sota_exp.training.evaluate_saved import SavedEvaluation, evaluate_saved
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.run import run
from tests.experiments import TINY, composed
from tests.run_directories import result, write_epochs, write_run
from tests.study.studies import chain, study, write_all

#: MLflow's own code triggers warnings of SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Store = tuple[MlflowClient, str]


@pytest.fixture
def store(made_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    for name, value in build_mlflow_environment("", 2, 0).items():
        monkeypatch.setenv(name, value)
    shutil.copy(made_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return MlflowClient(uri), uri


def send(directory: Path, uri: str, upload: MLflowUpload | None = None) -> int:
    position = SentPosition.read(directory).at(uri, "sota_exp")
    position = position.with_origin(read_origin(directory, {}), False)
    position.write(directory)
    return (upload or MLflowUpload.open(position)).send(RunContent.read(directory, position.origin))


def the_run(client: MlflowClient, directory: Path) -> Run:
    return client.get_run(SentPosition.read(directory).run_id)


def history(client: MlflowClient, run: Run) -> list[tuple[str, int, float, int]]:
    series = (client.get_metric_history(run.info.run_id, key) for key in run.data.metrics)
    return sorted((point.key, point.step, point.value, point.timestamp) for metric in series for point in metric)


def expected(directory: Path) -> list[tuple[str, int, float, int]]:
    content = RunContent.read(directory, read_origin(directory, {}))
    return sorted((point.key, point.step, float(point.value), point.timestamp) for point in build_points(content))


def test_a_full_store_of_artifacts_gets_all_points_and_later_the_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, uri = store
    directory, log_artifact = write_run(tmp_path / "run"), MlflowClient.log_artifact
    tried: list[str] = []

    def fill(self: MlflowClient, run_id: str, path: str, folder: str | None = None) -> None:
        tried.append(Path(path).name)
        if path.endswith("model.json"):
            raise MlflowException("API request failed") from OSError(errno.ENOSPC, "No space left on device")
        log_artifact(self, run_id, path, folder)

    with monkeypatch.context() as full:
        full.setattr(MlflowClient, "log_artifact", fill)
        for _ in range(2):
            with pytest.raises(FileNotStored, match=r"^model.json: No space left on device$"):
                send(directory, uri)
    assert tried.count("model.json") == 2 and tried.count("config.yaml") == 1, "what was sent is not sent again"
    assert history(client, the_run(client, directory)) == expected(directory)
    assert not tracking_sync.is_sent(directory)
    assert send(directory, uri) > 0 and send(directory, uri) == 0
    run = the_run(client, directory)
    assert history(client, run) == expected(directory) and tracking_sync.is_sent(directory)
    assert {item.path for item in client.list_artifacts(run.info.run_id)} >= {"model.json", "figures"}


def test_a_run_is_shown_whole(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, uri = store
    directory = write_run(tmp_path / "outputs" / "run")
    batches, log_batch = list[str](), MlflowClient.log_batch

    def count(self: MlflowClient, run_id: str, **content: Any) -> None:
        batches.append(" ".join(content))
        log_batch(self, run_id, **content)

    monkeypatch.setattr(MlflowClient, "log_batch", count)
    send(directory, uri)
    assert batches == ["params tags", "metrics"]
    run = the_run(client, directory)
    assert history(client, run) == expected(directory)
    assert run.info.status == "FINISHED"
    assert run.data.params["augmentation/crop"] == "pad"
    assert run.data.tags["kind"] == "run"
    assert "70.00 %" in run.data.tags["mlflow.note.content"]
    assert {item.path for item in client.list_artifacts(run.info.run_id)} >= {"config.yaml", "result.json", "figures"}
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("fake", "d" * 36)
    assert SentPosition.read(directory).run_id == run.info.run_id
    assert tracking_sync.is_sent(directory)
    for key, value in result()["metrics"].items():
        shown = key if key.startswith(("test/", "best/")) else f"best/{key.replace('/', '_')}"
        assert run.data.metrics[shown] == value


def test_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "outputs" / "run")
    assert send(directory, uri) > 0
    before = the_run(client, directory).to_dictionary()
    assert send(directory, uri) == 0
    assert the_run(client, directory).to_dictionary() == before


def test_what_was_sent_in_full_takes_one_look(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a request per metric; but a store that was put back to an earlier time is completed."""
    _client, uri = store
    directory = write_run(tmp_path / "run", num_epochs=2, status=None)
    send(directory, uri)
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "earlier.db")
    write_run(directory)
    send(directory, uri)
    reading, position = MlflowClient.get_metric_history, SentPosition.read(directory)
    asked: list[str] = []
    monkeypatch.setattr(
        MlflowClient, "get_metric_history", lambda self, run, key: [asked.append(key), reading(self, run, key)][1]
    )
    content = RunContent.read(directory, position.origin)
    assert MLflowUpload.open(position).send(content) == 0 and asked == []
    earlier = f"sqlite:///{tmp_path / 'earlier.db'}"
    replace(position, uri=earlier).write(directory)
    assert MLflowUpload.open(SentPosition.read(directory)).send(content) > 0 and asked
    there = MlflowClient(earlier)
    assert history(there, the_run(there, directory)) == expected(directory)


def test_epoch_by_epoch_is_the_same_as_at_once(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "outputs" / "run", num_epochs=0, status=None)
    upload = None
    for num_epochs in range(4):
        write_epochs(directory, num_epochs)
        if upload is None:
            send(directory, uri)
            upload = MLflowUpload.open(SentPosition.read(directory))
        else:
            send(directory, uri, upload)
        assert the_run(client, directory).info.status == "RUNNING"
    write_run(directory)
    send(directory, uri, upload)
    assert history(client, the_run(client, directory)) == expected(directory)


def test_a_resumed_run_is_the_same_run(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "outputs" / "run", num_epochs=2, status="interrupted")
    send(directory, uri)
    first = the_run(client, directory)
    assert first.info.status == "KILLED" and first.data.tags["reason"]
    write_run(directory, num_epochs=2, status=None, resumed=1)
    send(directory, uri)
    again = the_run(client, directory)
    assert again.info.status == "RUNNING" and "reason" not in again.data.tags
    write_run(directory, num_epochs=3, resumed=1)
    send(directory, uri)
    last = the_run(client, directory)
    assert (last.info.run_id, last.info.status) == (first.info.run_id, "FINISHED")
    assert history(client, last) == expected(directory)


def test_another_start_is_another_run(store: Store, tmp_path: Path) -> None:
    _client, uri = store
    directory = write_run(tmp_path / "outputs" / "run")
    send(directory, uri)
    first = SentPosition.read(directory).run_id
    write_run(directory, id="another")
    send(directory, uri)
    assert SentPosition.read(directory).run_id != first


def test_a_request_that_arrived_without_an_answer_is_not_repeated(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "outputs" / "run", status=None)
    send(directory, uri)
    run_id = SentPosition.read(directory).run_id
    client.log_batch(run_id, [Metric("best/epoch", 2.0, 1, 3)])  # Sent, as far as the store knows, with another time.
    (directory / "tracking.json").unlink()
    write_run(directory)
    send(directory, uri)
    assert SentPosition.read(directory).run_id == run_id, "found again by its tag"
    assert len(client.get_metric_history(run_id, "best/epoch")) == 1


def test_a_lost_store_loses_nothing(store: Store, made_store: Path, tmp_path: Path) -> None:
    _client, uri = store
    directory = write_run(tmp_path / "outputs" / "run")
    send(directory, uri)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(made_store, other / "mlflow.db")
    again = f"sqlite:///{other / 'mlflow.db'}"
    send(directory, again)
    there = MlflowClient(again)
    assert history(there, the_run(there, directory)) == expected(directory)


def test_a_deleted_run_is_made_again(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "outputs" / "run")
    send(directory, uri)
    deleted = SentPosition.read(directory).run_id
    client.delete_run(deleted)
    send(directory, uri)
    assert SentPosition.read(directory).run_id != deleted
    assert history(client, the_run(client, directory)) == expected(directory)


def test_jobs_of_a_sweep_are_children_of_one_run(store: Store, tmp_path: Path) -> None:
    client, uri = store
    sweep = tmp_path / "multirun" / "train-1"
    for number in range(2):
        directory = write_run(sweep / str(number))
        (directory / ".hydra").mkdir()
        overrides = json.dumps({"hydra": {"mode": "MULTIRUN", "overrides": {"task": [f"seed={number}"]}}})
        (directory / ".hydra" / "hydra.yaml").write_text(overrides)
        (sweep / "multirun.yaml").touch()
        send(directory, uri)
    runs = [the_run(client, sweep / str(number)) for number in range(2)]
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert client.get_run(parent).data.tags["kind"] == "sweep"
    assert client.get_run(parent).info.status == "FINISHED"
    assert [run.info.run_name for run in runs] == ["0: seed=0", "1: seed=1"]


def test_a_failed_child_does_not_fail_its_sweep(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "multirun" / "train-1" / "0", status="failed")
    (directory / ".hydra").mkdir()
    (directory / ".hydra" / "hydra.yaml").write_text("hydra: {mode: MULTIRUN}")
    (directory.parent / "multirun.yaml").touch()
    send(directory, uri)
    child = the_run(client, directory)
    assert child.info.status == "FAILED"
    assert client.get_run(child.data.tags["mlflow.parentRunId"]).info.status == "FINISHED"


def test_folds_lie_below_one_parent_with_their_means(store: Store, tmp_path: Path) -> None:
    client, uri = store
    place, numbers = tmp_path / "outputs" / "cv", range(2)
    runs = [FoldRun(repeat=0, fold=number, seed=number, place=f"repeat0-fold{number}") for number in numbers]
    for each in runs:
        directory = write_run(place / each.place)
        variables = {"SOTA_EXP_ORIGIN": json.dumps({"kind": "fold", "name": f"cv: {each.label}", "parent": str(place)})}
        position = (
            SentPosition.read(directory).at(uri, "sota_exp").with_origin(read_origin(directory, variables), False)
        )
        position.write(directory)
        write_folds(place, build_folds_json(runs, {}, "sota-exp train data/split=cross_validation", place))
        MLflowUpload.open(position).send(RunContent.read(directory, position.origin))
    children = [the_run(client, place / each.place) for each in runs]
    (number,) = {child.data.tags["mlflow.parentRunId"] for child in children}
    assert [child.info.run_name for child in children] == ["cv: repeat 0, fold 0", "cv: repeat 0, fold 1"]
    parent = client.get_run(number)
    assert (parent.data.tags["kind"], parent.info.status) == ("cross-validation", "FINISHED")
    assert parent.data.tags["command"] == "sota-exp train data/split=cross_validation"
    scores = {"test/accuracy": 0.25, "val/accuracy": 0.5}
    results = {each.place: {"status": "finished", "metrics": scores, "evaluated_images": {"test": 8}} for each in runs}
    write_folds(place, build_folds_json(runs, results, "sota-exp train data/split=cross_validation", place))
    assert update_parent_run(place, uri, "sota_exp") is None
    found = client.get_run(number).data
    assert found.metrics == {"test/accuracy": 0.25, "val/accuracy": 0.5}
    assert "16 test images in all, 25.00 % of them right" in found.tags["mlflow.note.content"]


def test_a_study_names_kind_and_parent(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "multirun" / "ladder" / "mixup" / "seed0")
    parent = str(directory.parent.parent)
    variables = {"SOTA_EXP_ORIGIN": json.dumps({"kind": "arm", "name": "mixup, seed 0", "parent": parent})}
    position = SentPosition.read(directory).at(uri, "sota_exp").with_origin(read_origin(directory, variables), False)
    position.write(directory)
    MLflowUpload.open(position).send(RunContent.read(directory, position.origin))
    run = the_run(client, directory)
    assert (run.data.tags["kind"], run.info.run_name) == ("arm", "mixup, seed 0")
    assert client.get_run(run.data.tags["mlflow.parentRunId"]).data.tags["kind"] == "study"


def test_a_run_without_weights_logs_no_model(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _client, uri = store
    logged: list[object] = []
    monkeypatch.setattr("sota_exp.models.export_mlflow.log_model", lambda *arguments: logged.append(arguments))
    directory = write_run(tmp_path / "outputs" / "run")
    (directory / "model.json").unlink()
    position = SentPosition.read(directory).at(uri, "sota_exp").with_origin(read_origin(directory, {}), True)
    position.write(directory)
    MLflowUpload.open(position).send(RunContent.read(directory, position.origin))
    assert not logged and tracking_sync.is_sent(directory)


@pytest.mark.parametrize(
    ("statuses", "num"), [([], 1), (["PENDING"], 1), (["FAILED"], 1), (["READY"], 0), (["FAILED", "READY"], 0)]
)
def test_a_model_is_logged_until_one_is_whole(
    statuses: list[str], num: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[object] = []
    monkeypatch.setattr("sota_exp.models.export_mlflow.log_model", lambda *arguments: logged.append(arguments))
    client = SimpleNamespace(get_logged_model=lambda name: SimpleNamespace(status=LoggedModelStatus(name)))
    outputs = [SimpleNamespace(model_id=status) for status in statuses]
    run = SimpleNamespace(info=SimpleNamespace(run_id="r"), outputs=SimpleNamespace(model_outputs=outputs))
    upload = MLflowUpload(client=cast(MlflowClient, client), uri="u", experiment="0")
    content = RunContent.read(write_run(tmp_path / "run"), {})
    assert upload._model(content, cast(Run, run)) == num == len(logged)


def test_a_deleted_experiment_is_taken_back(store: Store, tmp_path: Path) -> None:
    client, uri = store
    directory = write_run(tmp_path / "outputs" / "run")
    send(directory, uri)
    client.delete_experiment(client.get_experiment_by_name("sota_exp").experiment_id)
    send(write_run(tmp_path / "outputs" / "second"), uri)
    assert client.get_experiment_by_name("sota_exp").lifecycle_stage == "active"


def test_mlflows_own_environment_names_no_other_run_and_experiment(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that was started by `mlflow run` has them, and each run would be written over the last."""
    client, uri = store
    for name, value in {"RUN_ID": "0" * 32, "EXPERIMENT_NAME": "other", "TRACKING_URI": "sqlite:///other.db"}.items():
        monkeypatch.setenv(f"MLFLOW_{name}", value)
    runs = [write_run(tmp_path / "outputs" / name) for name in ("first", "second")]
    for directory in runs:
        send(directory, uri)
    found = [the_run(client, directory).info for directory in runs]
    assert len({info.run_id for info in found} | {"0" * 32}) == 3
    assert {client.get_experiment(info.experiment_id).name for info in found} == {"sota_exp"}
    assert not Path("other.db").exists()


def test_sync_sends_tracked_runs_once(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client, _uri = store
    directory = write_run(tmp_path / "outputs" / "run")
    sync.main([])
    assert history(client, the_run(client, directory)) == expected(directory)
    capsys.readouterr()
    sync.main([])
    assert "nothing was missing" in capsys.readouterr().out


def test_sync_of_many_runs_opens_a_store_once_and_reads_a_file_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _uri = store
    runs = [write_run(tmp_path / "outputs" / name) for name in ("a", "b", "c")]
    for directory in runs:
        (directory / ".hydra").mkdir()
        (directory / ".hydra" / "hydra.yaml").write_text("hydra: {}")
    sync.main(["outputs"])
    opened, parsed, asked, opening, getting = [], [], [], MLflowUpload.open, MlflowClient.get_run
    monkeypatch.setattr(MlflowClient, "get_run", lambda self, run: [asked.append(run), getting(self, run)][1])
    monkeypatch.setattr(MLflowUpload, "open", lambda position: [opened.append(position), opening(position)][1])
    for module in (formats, search_path):
        monkeypatch.setattr(module, "load_yaml", lambda text, *given: [parsed.append(text), yaml.safe_load(text)][1])
    sync.main(["outputs"])
    assert len(opened) == 1 and len(parsed) == len(runs) and asked == [], "one request for all runs"
    assert all(history(client, the_run(client, directory)) == expected(directory) for directory in runs)


def test_sync_sends_evaluations_of_any_part(store: Store, tmp_path: Path) -> None:
    """A result of `sota-exp evaluate` has no epochs and no cost of a training."""
    client, uri = store
    tracked = ("recipe=baseline", "tracking=mlflow", f"tracking.uri={uri}")
    made = composed(*[word for word in TINY if not word.startswith("tracking")], *tracked)
    run(RunRequest(configuration=made, directory=tmp_path / "outputs" / "trained"), Listener())
    weights = tmp_path / "outputs" / "trained" / "model.safetensors"
    for part in (None, "train", "all"):
        evaluation = SavedEvaluation(
            weights=weights,
            description=weights.with_name("model.json"),
            training_fingerprint="t",
            configuration=made,
            asked=frozenset(),
            part=part,
        )
        evaluate_saved(evaluation, tmp_path / "outputs" / f"evaluated-{part}")
    sync.main([])
    found = client.search_runs([client.get_experiment_by_name("sota_exp").experiment_id])
    assert [each.info.status for each in found] == ["FINISHED"] * 4
    assert sorted(each.data.tags["kind"] for each in found) == ["evaluation"] * 3 + ["run"]
    notes = [each.data.tags["mlflow.note.content"] for each in found if each.data.tags["kind"] == "evaluation"]
    assert all(f"Scores of the weights `{weights}`" in note and "sota-exp train" not in note for note in notes)
    assert {key for each in found for key in each.data.metrics} >= {"best/train_accuracy", "best/all_accuracy"}


def test_sync_leaves_a_training_run_alone(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_run(tmp_path / "outputs" / "run", status=None)
    sync.main([])
    assert "is still training" in capsys.readouterr().out
    assert SentPosition.read(directory).run_id is None


@pytest.mark.parametrize(("ends", "expected"), [("finished", "RUNNING"), ("pruned", "RUNNING"), (None, "KILLED")])
def test_a_sweep_or_study_ends_itself_unless_its_process_is_gone(
    ends: str | None, expected: str, store: Store, tmp_path: Path
) -> None:
    """It stays RUNNING between two of its runs; after a kill it ends."""
    client, uri = store
    gone = {} if ends else {"pid": 2**22 + 1}
    directory = write_run(tmp_path / "study" / "runs" / "ema", status=ends, **gone)
    origin = {"kind": "arm", "name": "ema, seed 0", "parent": str(tmp_path / "study")}
    position = SentPosition.read(directory).at(uri, "sota_exp").with_origin(origin, False)
    position.write(directory)
    MLflowUpload.open(position).send(RunContent.read(directory, origin))
    run = the_run(client, directory)
    assert client.get_run(run.data.tags["mlflow.parentRunId"]).info.status == expected


@pytest.mark.parametrize(("started", "expected"), [(-60.0, "FINISHED"), (60.0, "RUNNING")])
def test_a_run_that_is_sent_late_does_not_open_an_ended_study(
    started: float, expected: str, store: Store, tmp_path: Path
) -> None:
    """A later run, of a study that goes on, does; the late one completes the page of the study."""
    client, uri = store
    place = tmp_path / "study"
    planned, files = study(chain("a", "b"), seeds=6), StudyFiles(directory=place)
    write_all(planned, files, {"b": 2.0})
    files.write(build_study_json(planned, StudyRuns.read(planned, files, {})))
    end_parent_run(place, {"uri": uri, "experiment": "sota_exp"}, "FINISHED")
    directory = write_run(place / "runs" / "ema", time=time.time() + started)
    origin = {"kind": "arm", "name": "ema, seed 0", "parent": str(place)}
    position = SentPosition.read(directory).at(uri, "sota_exp").with_origin(origin, False)
    position.write(directory)
    MLflowUpload.open(position).send(RunContent.read(directory, origin))
    parent = client.get_run(the_run(client, directory).data.tags["mlflow.parentRunId"])
    assert parent.info.status == expected
    if expected == "FINISHED":
        assert parent.data.params.items() >= {"budget": "epochs", "recipe": parent.data.tags["recipe"]}.items()
        assert f"Its page: `sota-exp report {place}`" in parent.data.tags["mlflow.note.content"]
