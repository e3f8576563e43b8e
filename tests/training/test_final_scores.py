"""A run's model has the searched view; features are the classifier's inputs; evaluation reproduces a run's scores."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sota_exp.errors import ConfigError
from sota_exp.models import saved
from sota_exp.models.parts import get_classifier_layer
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.techniques.evaluation.resolution.search import ResolutionSearch
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.arch.timm import TimmNetwork
from sota_exp.tracking.console import ConsoleListener
from sota_exp.training.final_scores import choose_view
from sota_exp.training.input_sizes import require_input_sizes
from sota_exp.training.listener import RunRequest
from sota_exp.training.run import run
from tests.experiments import TINY, composed, session_of

SEARCH = ("evaluation/resolution=search", "evaluation.resolution.relative_sizes=[1.0,1.25,1.5]")


def run_in(directory: Path, *overrides: str) -> dict:
    made = composed(*TINY, *overrides)
    request = RunRequest(configuration=made, directory=directory)
    return run(request, ConsoleListener())


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    directory = tmp_path_factory.mktemp("searched")
    return directory, run_in(directory, *SEARCH)


def test_a_search_reports_its_curve_and_the_gap(searched: tuple[Path, dict]) -> None:
    directory, result = searched
    report = result["resolution"]
    assert [point["size"] for point in report["curve"]] == [16, 20, 24]
    assert report["curve"][0]["gflops_per_image"] < report["curve"][2]["gflops_per_image"]
    assert all(point["milliseconds_per_image"] > 0 for point in report["curve"])
    assert {"gain", "gain_standard_error", "optimism_gap", "best_on_halves", "default", "chosen"} <= set(report)
    assert json.loads((directory / "result.json").read_text())["resolution"] == report


def test_a_search_trains_nothing_and_shares_its_training(searched: tuple[Path, dict], tmp_path: Path) -> None:
    directory, result = searched
    fixed = run_in(tmp_path)
    assert fixed["training_fingerprint"] == result["training_fingerprint"]
    assert fixed["fingerprint"] != result["fingerprint"]
    assert (tmp_path / "model.safetensors").read_bytes() == (directory / "model.safetensors").read_bytes()
    assert fixed["resolution"] == {"chosen": {"resize": 16, "size": 16}}


def test_the_chosen_view_ships_with_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that always chooses the last view: model.json, the scores and the predictions are of that view."""
    choose = ResolutionSearch.choose
    monkeypatch.setattr(
        ResolutionSearch, "choose", lambda *given: type(choose(*given))(index=2, report=choose(*given).report)
    )
    result = run_in(tmp_path, *SEARCH)
    model = saved.load_saved_model(tmp_path / "model.json", tmp_path / "model.safetensors")
    assert model.view == EvaluationView(resize=24, size=24)
    assert result["resolution"]["chosen"] == {"resize": 24, "size": 24}
    assert result["resolution"]["curve"][2]["val_accuracy"] == result["metrics"]["val/accuracy"]
    made = composed(*TINY)
    _, evaluator = session_of(made.experiment)
    again = evaluator.logits(model.network, "test", model.view)
    assert np.array_equal(np.load(tmp_path / "predictions.npz")["test_logits"], again.numpy())


def test_one_view_is_not_searched() -> None:
    session, evaluator = session_of(composed(*TINY).experiment)
    chosen = choose_view(session.network(), evaluator, session.experiment.evaluation.resolution)
    assert chosen.report == {"chosen": {"resize": 16, "size": 16}}


def test_a_network_of_one_size_is_refused_before_training() -> None:
    torch.manual_seed(0)
    network = TimmNetwork(name="vit_tiny_patch16_224", img_size=None)(4)
    with pytest.raises(ConfigError, match="does not read images of 48 px"):
        require_input_sizes(network, [EvaluationView(resize=224, size=224), EvaluationView(resize=48, size=48)])
    require_input_sizes(
        SmallNetwork(name="resnet_xs", width_multiplier=1.0)(4),
        [EvaluationView(resize=48, size=48), EvaluationView(resize=20, size=20)],
    )


def test_features_are_what_the_classifier_reads_in_unit_length() -> None:
    session, evaluator = session_of(composed(*TINY).experiment)
    network = session.network().train()
    view = session.experiment.evaluation.resolution.views()[0]
    features = evaluator.features(network, "train", view)
    layer = get_classifier_layer(network)
    assert isinstance(layer, nn.Linear)
    assert features.shape == (len(session.data.train), layer.in_features)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))
    images = torch.cat(list(evaluator.images("train", view)))
    with torch.no_grad():
        body = network.eval().pool(network.stages(network.stem(images))).flatten(1)
    torch.testing.assert_close(features, nn.functional.normalize(body, dim=1))
    assert not layer._forward_pre_hooks


def test_features_of_a_convolutional_classifier_are_pooled() -> None:
    made = composed(
        "data=fake",
        "data.num_images=60",
        "data.num_classes=4",
        "batch_size=16",
        "model=torchvision",
        "model.arch.name=squeezenet1_1",
        "data.image_size=40",
        "data.min_side=40",
    )
    session, evaluator = session_of(made.experiment)
    features = evaluator.features(session.network(), "val", made.experiment.evaluation.resolution.views()[0])
    assert features.shape == (len(session.data.val), 512)
