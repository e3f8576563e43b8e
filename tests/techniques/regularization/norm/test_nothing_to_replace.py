"""A norm option that finds no batch norm to replace raises an error."""

import pytest
import timm
import torch

from sota_exp.errors import ConfigError
from sota_exp.techniques.regularization.norm.ghost_batch import GhostBatchNormalization
from sota_exp.techniques.regularization.norm.group import GroupNormalization
from sota_exp.techniques.regularization.norm.none import NoNormalization
from sota_exp.techniques.regularization.norm.sync_batch import SyncBatchNormalization


@pytest.mark.parametrize(
    "norm",
    [
        GhostBatchNormalization(ghost_batch_size=4),
        GroupNormalization(num_groups=4),
        NoNormalization(zero_init_last_gamma=False),
        SyncBatchNormalization(),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_a_network_of_layer_norms_is_refused(norm):
    with torch.device("meta"):
        model = timm.create_model("convnext_atto", num_classes=5)
    with pytest.raises(ConfigError, match=r"regularization/norm: ConvNeXt has no batch norm to replace; legal: batch"):
        norm(model)
