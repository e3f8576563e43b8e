"""Weights from an MLflow store: those of a tracked run, as initial weights and as a teacher."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

from sota_exp.cli import main
from sota_exp.config.build import build
from sota_exp.models.weights_from_mlflow import BESIDE, fetch_weights_file
from sota_exp.stages.batch import Batch
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.loss import Distillation
from sota_exp.stages.model import InitialWeights
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.weights.checkpoint import CheckpointWeights
from sota_exp.techniques.regularization.distillation.logits import LogitDistillation
from tests.experiments import TINY, composed

RUN = [text for text in TINY if text != "tracking=none"]
ARCH = SmallNetwork(name="resnet_xs", width_multiplier=0.25)
OTHER = Preprocessing(mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, made_store: Path) -> Path:
    """A working directory with the default store and a finished run in it."""
    place = tmp_path_factory.mktemp("home")
    shutil.copy(made_store, place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        command = ["train", *RUN, "recipe=baseline", "schedule.length.epochs=1", "tracking.system_metrics=false"]
        assert main.run_command_line([*command, "hydra.run.dir=outputs/a_run"]) == 0
    return place


@pytest.fixture
def run_id(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(home)
    return str(json.loads((home / "outputs/a_run/tracking.json").read_text())["run_id"])


def test_a_run_in_the_default_store_gives_initial_weights(home: Path, run_id: str) -> None:
    trained = load_file(home / "outputs/a_run/model.safetensors")
    found = composed(*TINY, "model/weights=checkpoint", f"model.weights.path=runs:/{run_id}")
    weights = build(InitialWeights, found.values["model"]["weights"], "model.weights")
    assert isinstance(weights, CheckpointWeights) and weights.store is None
    state = weights(ARCH(4), ARCH).state_dict()
    assert all(torch.equal(state[name], trained[name]) for name in trained)
    own = json.loads((home / "outputs/a_run/model.json").read_text())["preprocessing"]
    assert weights.preprocessing(ARCH, OTHER) == Preprocessing(mean=tuple(own["mean"]), std=tuple(own["std"]))
    named = CheckpointWeights(path=f"runs:/{run_id}/model.safetensors", store=f"sqlite:///{home}/mlflow.db", prefix="", entry=None,
                       mean=[0.5] * 3, std=None)  # fmt: skip
    assert named.content_hash(ARCH) == weights.content_hash(ARCH)
    assert named.preprocessing(ARCH, OTHER).mean == (0.5, 0.5, 0.5)


def test_a_run_can_be_the_teacher(run_id: str) -> None:
    fields = {"source": "mlflow", "name": "resnet_xs", "path": f"runs:/{run_id}"}
    found = composed(*TINY, "regularization/distillation=logits",
                     *(f"regularization.distillation.{name}={value}" for name, value in fields.items()))  # fmt: skip
    teacher = build(Distillation, found.values["regularization"]["distillation"], "regularization.distillation")
    assert isinstance(teacher, LogitDistillation)
    assert teacher.load_published(OTHER).preprocessing != OTHER
    images = torch.randn(2, 3, 16, 16)
    batch = Batch(images=images, targets=torch.ones(2, 4) / 4, weights=torch.ones(2), sources=torch.arange(2))
    taught = teacher.build_teacher([f"color_{index:02d}" for index in range(4)], OTHER, torch.device("cpu"))(
        batch, 0.5, RandomStreams(seed=0).random_numbers("distillation", 0)
    )
    assert taught.teacher_logits.shape == (2, 4)


def test_the_default_store_is_that_of_the_tracker(home: Path) -> None:
    weights = composed("model/weights=checkpoint", "model.weights.path=runs:/1", "tracking.uri=http://a.b").values[
        "model"
    ]
    assert weights["weights"]["store"] == "http://a.b"


def test_files_that_belong_to_weights_come_from_their_folder(home: Path, run_id: str) -> None:
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    client.log_artifacts(run_id, str(home / "outputs/a_run/checkpoint"), "exported")
    with fetch_weights_file(f"runs:/{run_id}/exported/best.safetensors", None) as file:
        assert {path.name for path in file.parent.iterdir()} == {"best.safetensors"}
    for name in BESIDE:
        client.log_artifact(run_id, str(home / "outputs/a_run" / name), "exported")
    for path in (f"runs:/{run_id}", f"runs:/{run_id}/exported/best.safetensors"):
        with fetch_weights_file(path, None) as file:
            assert {path.name for path in file.parent.iterdir()} == {file.name, *BESIDE}
    assert not file.exists()


@pytest.mark.parametrize(
    ("path", "store", "reason"),
    [
        ("runs:/{run}x", None, "a run and a file of the MLflow store"),
        ("runs:/{run}/nothing.pth", None, "a run and a file of the MLflow store"),
        ("models:/a_model/1", None, "runs:/RUN_ID with the run that made the model"),
        ("runs:/{run}", "sqlite:///elsewhere.db", "elsewhere.db does not exist"),
        ("runs:/{run}", "http://127.0.0.1:1", "does not answer"),
    ],
)
def test_a_missing_store_run_or_file_is_named(run_id: str, path: str, store: str | None, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason), fetch_weights_file(path.format(run=run_id), store):
        pass
    assert not Path("elsewhere.db").exists()


def test_weights_of_a_copied_run_come_with_its_normalization(home: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "model.json"):
        shutil.copy(home / "outputs/a_run" / name, tmp_path)
    beside = CheckpointWeights(
        path=f"{tmp_path}/model.safetensors", store=None, prefix="", mean=None, std=None, entry=None
    )
    assert beside.preprocessing(ARCH, OTHER) != OTHER
    (tmp_path / "model.json").unlink()
    assert beside.preprocessing(ARCH, OTHER) == OTHER
