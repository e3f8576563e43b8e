"""A saved model: its two files are enough to rebuild it and get the same logits."""

import json
from copy import deepcopy

import pytest
import torch
from safetensors.torch import save_file

from sota_exp.errors import ConfigError
from sota_exp.models import saved
from sota_exp.runs.digests import write_checked_json
from sota_exp.runs.files import write_weights
from tests.experiments import OFF, TINY, composed, session_of

VARIANTS = {
    "batch": (),
    "group norm, dropout, stochastic depth": (
        "regularization/norm=group",
        "regularization/dropout=head",
        "regularization/stochastic_depth=linear",
    ),
    "ghost batch norm, two views": ("regularization/norm=ghost_batch", "evaluation/tta=flip"),
}


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_the_files_give_the_same_logits_to_the_bit(tmp_path, overrides):
    found = composed(*TINY, *OFF, *overrides)
    session, evaluator = session_of(found.experiment)
    view = found.experiment.evaluation.resolution.views()[0]
    torch.manual_seed(0)
    network = session.network()
    write_weights(tmp_path / "model.safetensors", network.state_dict())
    description = saved.build_description(found.values, session.data.classes, evaluator.preprocessing, view)
    write_checked_json(tmp_path / "model.json", description)
    again = saved.load_saved_model(tmp_path / "model.json", tmp_path / "model.safetensors")
    assert torch.equal(evaluator.logits(again.network, "val", again.view), evaluator.logits(network, "val", view))
    assert (again.classes, again.view) == (session.data.classes, view)
    assert again.preprocessing == evaluator.preprocessing
    assert again.predictor == found.experiment.evaluation.tta
    assert not again.network.training


def test_a_description_that_cannot_be_built_names_its_key(tmp_path):
    found = composed(*TINY, *OFF)
    session, evaluator = session_of(found.experiment)
    view = found.experiment.evaluation.resolution.views()[0]
    description = deepcopy(saved.build_description(found.values, session.data.classes, evaluator.preprocessing, view))
    description["arch"]["name"] = "resnet_xxl"
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(ConfigError, match="arch.name=resnet_xxl is not legal"):
        saved.load_saved_model(tmp_path / "model.json", tmp_path / "model.safetensors")


def test_weights_of_another_network_are_refused(tmp_path):
    found = composed(*TINY, *OFF)
    session, evaluator = session_of(found.experiment)
    view = found.experiment.evaluation.resolution.views()[0]
    write_checked_json(
        tmp_path / "model.json",
        saved.build_description(found.values, session.data.classes, evaluator.preprocessing, view),
    )
    save_file({"fc.weight": torch.zeros(3, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match="fc.weight"):
        saved.load_saved_model(tmp_path / "model.json", tmp_path / "model.safetensors")
