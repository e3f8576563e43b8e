"""Checkpoint: start from weights in a file, such as another run's `model.safetensors`.

w₀ = file; a classifier of another size starts at random. Only tensors are read: no file can run code.

Paper: Yosinski et al. 2014, How transferable are features in deep neural networks?, 1411.1792
Setting: path to a .safetensors or .pth; prefix "module." for weights saved from a wrapped network; mean and std (null for the
data's own) are those the weights were trained with.
"""

from dataclasses import dataclass

from torch import nn

from sota_exp.model.weights.loading import load
from sota_exp.stages import Model, Normalization, Weights, require
from sota_exp.zoo import content_hash, normalization_of, read_state


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Weights):
    """Loads the weights in the file `path`."""

    path: str
    prefix: str
    mean: list[float] | None
    std: list[float] | None

    def __post_init__(self) -> None:
        require(self.mean is None or len(self.mean) == 3, "mean", self.mean, "three numbers, or null")
        std_ok = self.std is None or (len(self.std) == 3 and min(self.std) > 0)
        require(std_ok, "std", self.std, "three numbers above 0, or null")

    def content(self, arch: Model) -> str:
        return content_hash(read_state(self.path, self.prefix))

    def normalization(self, arch: Model, default: Normalization) -> Normalization:
        return normalization_of(self.mean, self.std, default)

    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        return load(model, read_state(self.path, self.prefix), "path", self.path)
