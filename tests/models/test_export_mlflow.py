"""A run in MLflow: its numbers are those of its files, and its model predicts at more than one size."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from sota_exp.cli import main
from sota_exp.models import saved
from sota_exp.models.standalone import StandaloneModel
from sota_exp.runs.contents import RunContent
from sota_exp.runs.sent_position import SentPosition, read_origin
from sota_exp.tracking.mlflow_upload import MLflowUpload
from tests.experiments import TINY

#: Warnings of MLflow and torch.export about their own code.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, made_store: Path) -> tuple[Path, str]:
    """A finished run with its model in a store: its directory and the URI of the store."""
    root = tmp_path_factory.mktemp("tracked")
    directory, uri = root / "run", f"sqlite:///{shutil.copy(made_store, root)}"
    assert (
        main.run_command_line(["train", *TINY, "recipe=baseline", "optimizer.lr=0.05", f"hydra.run.dir={directory}"])
        == 0
    )
    position = SentPosition.read(directory).at(uri, "sota_exp").with_origin(read_origin(directory, {}), True)
    position.write(directory)
    MLflowUpload.open(position).send(RunContent.read(directory, position.origin))
    return directory, uri


def test_every_number_in_mlflow_is_that_of_the_result(tracked: tuple[Path, str]) -> None:
    directory, uri = tracked
    result = json.loads((directory / "result.json").read_text())
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    client, run_id = MlflowClient(uri), SentPosition.read(directory).run_id
    page = client.get_run(run_id).data.metrics
    for key, value in result["metrics"].items():
        name = key if key.startswith(("test/", "best/")) else f"best/{key.replace('/', '_')}"
        assert page[name] == value, key
    for key in ("images_per_second", "peak_memory_bytes", "parameters", "flops_per_image", "images_seen", "steps"):
        assert page[f"cost/{key}"] == result[key], key
    for part, seconds in result["seconds"].items():
        assert page[f"cost/{part}_seconds"] == seconds, part
    for key in (key for key in lines[-1] if "/" in key and lines[-1][key] is not None):
        history = client.get_metric_history(run_id, key)
        assert [point.value for point in history] == [line[key] for line in lines], key
    origins = ("best/", "cost/", "hp/", "system/", "time/", "test/")
    assert {key for key in page if not key.startswith(origins)} <= set(lines[-1])


def test_logging_the_model_keeps_status_and_end_of_the_run(tracked: tuple[Path, str]) -> None:
    directory, uri = tracked
    client = MlflowClient(uri)
    run = client.get_run(SentPosition.read(directory).run_id)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.experiment_id, model.source_run_id) == (run.info.experiment_id, run.info.run_id)
    assert model.status == LoggedModelStatus.READY and run.info.status == "FINISHED"
    assert run.info.end_time <= model.creation_timestamp


def test_the_model_predicts_at_two_sizes(tracked: tuple[Path, str]) -> None:
    directory, uri = tracked
    mlflow.set_tracking_uri(uri)
    (output,) = MlflowClient(uri).get_run(SentPosition.read(directory).run_id).outputs.model_outputs
    model = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    network = StandaloneModel(saved.load_saved_model(directory / "model.json", directory / "model.safetensors")).eval()
    for height, width in ((16, 16), (24, 40)):
        images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.no_grad():
            expected = network(images).numpy()
        assert np.allclose(model.predict(images.numpy()), expected, atol=1e-5)
