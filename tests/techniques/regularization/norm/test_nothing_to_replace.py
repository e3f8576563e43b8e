"""A norm option that finds no batch norm to replace raises an error."""

import pytest
import timm
import torch

from sota_exp.errors import ConfigError
from sota_exp.techniques.regularization.norm.ghost_batch import GhostBatch
from sota_exp.techniques.regularization.norm.group import Group
from sota_exp.techniques.regularization.norm.none import NoNorm
from sota_exp.techniques.regularization.norm.sync_batch import SyncBatch


@pytest.mark.parametrize(
    "norm",
    [GhostBatch(ghost_batch_size=4), Group(num_groups=4), NoNorm(zero_init_last_gamma=False), SyncBatch()],
    ids=lambda norm: type(norm).__name__,
)
def test_a_network_of_layer_norms_is_refused(norm):
    with torch.device("meta"):
        model = timm.create_model("convnext_atto", num_classes=5)
    with pytest.raises(ConfigError, match=r"regularization/norm: ConvNeXt has no batch norm to replace; legal: batch"):
        norm(model)
