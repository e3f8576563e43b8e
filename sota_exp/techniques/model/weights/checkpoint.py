"""Checkpoint: start from weights in a file, such as another run's `model.safetensors`, or in a run of MLflow.

w₀ = file; a classifier of another size starts at zero. Only tensors are read: no file can run code.

Paper: Yosinski et al. 2014, How transferable are features in deep neural networks?, 1411.1792
Setting: path to a .safetensors or .pth, or runs:/RUN_ID for what the store of `store` (null for the default one) keeps of that
run; prefix "module." for weights saved from a wrapped network; mean and std are those the weights were trained with: null for
those of the model.json beside them, and without one the data's own.
"""

from dataclasses import dataclass

from torch import nn

from sota_exp.models.load_state import load
from sota_exp.models.weight_files import AS_THEY_ARE, preprocessing_with, read_published
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import Model, Published, Weights
from sota_exp.stages.stage import require


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Weights):
    """Loads the weights in the file or the MLflow run `path`."""

    path: str
    store: str | None
    prefix: str
    mean: list[float] | None
    std: list[float] | None

    def __post_init__(self) -> None:
        require(self.mean is None or len(self.mean) == 3, "mean", self.mean, "three numbers, or null")
        std_ok = self.std is None or (len(self.std) == 3 and min(self.std) > 0)
        require(std_ok, "std", self.std, "three numbers above 0, or null")

    def published(self, default: Preprocessing) -> Published:
        return read_published(self.path, self.store, self.prefix, default)

    def content(self, arch: Model) -> str:
        return self.published(AS_THEY_ARE).content

    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        return preprocessing_with(self.mean, self.std, self.published(default).preprocessing)

    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        return load(model, self.published(AS_THEY_ARE).state, "path", self.path)
