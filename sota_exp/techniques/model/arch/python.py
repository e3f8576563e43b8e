"""Python: a network that Python hands in, `sota_exp.train(…, model=my_module)`, with the weights that it has.

A run trains a copy. Its seed does not change the initial weights, and no file has the code of the network: other
processes have its trained weights in model.safetensors.

Paper: none
Setting: that of a network of the same kind
"""

import copy
from dataclasses import dataclass

from torch import nn

from sota_exp.stages.handed_in import Digest, get_handed_in
from sota_exp.stages.model import Model, PublishedWeights
from sota_exp.stages.stage import InvalidValue

REMEDY = (
    "its weights are in model.safetensors: MODULE.load_state_dict(safetensors.torch.load_file(FILE)) (docs/python.md)"
)


@dataclass(frozen=True, kw_only=True)
class PythonNetwork(Model):
    """A module of this process: the name of its class, its number of parameters, the digest of its initial weights."""

    name: str
    num_parameters: int
    digest: Digest

    def __call__(self, num_classes: int) -> nn.Module:
        return copy.deepcopy(self.get_network())

    def require_available(self) -> None:
        self.get_network()

    def get_network(self) -> nn.Module:
        network: nn.Module = get_handed_in(self.digest, "model/arch", self.name, REMEDY)
        return network

    def load_published(self, tag: str) -> PublishedWeights:
        raise InvalidValue("weights", tag, "scratch or checkpoint: nobody published weights of model/arch=python")
