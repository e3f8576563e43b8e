"""Checkpoint: starts from weights in a file, such as `model.safetensors` of another run, or in an MLflow run.

w₀ = the weights in the file; a classifier of another size starts at zero. Only tensors and plain values are read, so no
file can run code. Checkpoints of torchvision's, timm's, Lightning's and other trainers are read too: their averaged
weights if they have such (what these lack, such as statistics of batch norm, is that of the weights beside them),
without other objects, and without what leads the names of the network's parameters (module., model., backbone.). Where
a file has several networks the message names what chooses one.

Paper: Yosinski et al. 2014, How transferable are features in deep neural networks?, 1411.1792
Setting: path of a .safetensors, .pth, .pt, .pth.tar, .ckpt or .bin file, or runs:/RUN_ID for a run in the MLflow store
`store` (null: the default store); prefix "student." for one of several networks, whose keys start so; entry
"model" for another entry of a checkpoint than its averaged weights; mean and std of the images that the weights were
trained with (null: those in model.json beside the weights, or those of the training images if there is no model.json,
which is told; an evaluation of weights alone must be given them).
"""

from dataclasses import dataclass

from torch import nn

from sota_exp.models.load_weights import load_state
from sota_exp.models.weight_files import NO_NORMALIZATION, ChannelMean, ChannelStd, read_weights, replace_mean_and_std
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import InitialWeights, Model, PublishedWeights
from sota_exp.stages.stage import added_field


@dataclass(frozen=True, kw_only=True)
class CheckpointWeights(InitialWeights):
    path: str
    store: str | None
    prefix: str
    mean: ChannelMean | None
    std: ChannelStd | None
    entry: str | None = added_field(None)

    def load_published(self, default: Preprocessing) -> PublishedWeights:
        return read_weights(self.path, self.store, self.prefix, default, self.entry)

    def content_hash(self, arch: Model) -> str:
        return self.load_published(NO_NORMALIZATION).content_hash

    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        return replace_mean_and_std(self.mean, self.std, self.load_published(default).preprocessing)

    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        return load_state(model, self.load_published(NO_NORMALIZATION).state, "path", self.path)
