"""Muon: SGD momentum with the update of each weight matrix orthogonalized.

u = Newton–Schulz(g + μ·v) ≈ UVᵀ of its singular value decomposition;  w ← w − lr·(0.2·√max(rows, columns)·u + λ·w). A
convolution kernel is flattened to a matrix. AdamW with Nesterov momentum updates vectors (norm layers, biases),
depthwise kernels, and matrices with a side below 4 or one above 128 times the other.

Paper: Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks (blog, no arXiv); the scale, with
which AdamW's lr and weight decay fit: Liu et al. 2025, Muon is Scalable for LLM Training, 2502.16982
Setting: lr 1e-3 to 5e-3 and weight decay as for AdamW; used by the CIFAR-10 speed record (airbench, 2404.00498) since
2024.
"""

from dataclasses import dataclass
from typing import Any

import torch
from timm.optim import Muon as TimmMuon

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import FractionBelowOne


@dataclass(frozen=True, kw_only=True)
class Muon(OptimizerFactory):
    momentum: FractionBelowOne

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return TimmMuon(groups, momentum=self.momentum, nesterov=True)
