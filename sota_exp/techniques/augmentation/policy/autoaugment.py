"""AutoAugment: applies one of 25 learned pairs of operations to each image, each operation with its own probability.

    pair ~ U(25);  x ← op_1(x) with probability p_1, then op_2 with p_2, at magnitude bins 0-9, sign ±1

The pairs were found by a search on the data set `policy`: ImageNet, CIFAR-10 or SVHN.

Paper: Cubuk, Zoph, Mané, Vasudevan, Le 2018, AutoAugment: Learning Augmentation Policies from Data, arXiv 1805.09501
Setting: the policy of the most similar data set; ResNet-50 on ImageNet: 76.3 → 77.6 %
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment as Published
from torchvision.transforms import AutoAugmentPolicy

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import one_of
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.ops import Interpolation
from sota_exp.techniques.augmentation.policy.space import OperationSpace, build_space, randaugment_ranges

NUM_BINS = 10

#: The data sets on which policies were searched: the values of torchvision's `AutoAugmentPolicy`.
POLICIES = ("imagenet", "cifar10", "svhn")


@cache
def build_autoaugment_space(size: int) -> OperationSpace:
    """The operations of the policies and their magnitudes for images of `size` pixels; row 0 is the identity."""
    return build_space({**randaugment_ranges(size), "invert": (0, 0, False)}, NUM_BINS)


@cache
def load_sub_policies(policy: str) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of `build_autoaugment_space`, probabilities and magnitude bins of a policy's pairs: each [25, 2]."""
    names = [name.replace("_", "") for name in (*randaugment_ranges(1), "invert")]
    pairs = Published(AutoAugmentPolicy(policy)).policies
    rows = [[names.index(name.lower()) for name, _, _ in pair] for pair in pairs]
    probabilities = [[probability for _, probability, _ in pair] for pair in pairs]
    bins = [[magnitude_bin or 0 for _, _, magnitude_bin in pair] for pair in pairs]
    return torch.tensor(rows), torch.tensor(probabilities), torch.tensor(bins)


@dataclass(frozen=True, kw_only=True)
class AutoAugment(BatchTransform):
    policy: Annotated[str, one_of(*POLICIES)]
    interpolation: Interpolation

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        space, images = build_autoaugment_space(batch.images.shape[-1]), batch.images
        tables = load_sub_policies(self.policy)
        pair = rng.integers(len(tables[0]), len(batch))
        rows, probabilities, bins = (table[pair] for table in tables)
        for k in (0, 1):
            coin = rng.uniform(len(batch), 2)
            drawn = torch.where(coin[:, 0] < probabilities[:, k], rows[:, k], 0)
            magnitudes = space.magnitude(drawn, bins[:, k], coin[:, 1])
            images = ops.apply_ops(images, space.ops[drawn], magnitudes, self.interpolation)
        return batch.with_images(images)
