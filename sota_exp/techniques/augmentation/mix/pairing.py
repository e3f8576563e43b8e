"""What all mixing shares: the choice of partners, and the mixture of weighted targets.

Partners are a permutation that avoids pairing an image with a copy of itself where possible.
"""

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from sota_exp.stages.batch import Batch
from sota_exp.stages.stage import Legal

MixingAlpha = Annotated[
    float, Legal(lambda value: value > 0, "a number above 0; `augmentation/mix=none` switches mixing off")
]


def mix_targets(batch: Batch, partner: Tensor, share: float) -> Batch:
    """Targets and weights of pairs of which the partner is the fraction `share`, in [0, 1]; the images stay.

        w = (1 - share)·w_i + share·w_j,  y = ((1 - share)·w_i·y_i + share·w_j·y_j) / w

    So w·loss(y) is the mixture of both weighted losses, for every loss that is linear in the target, and a sample of
    weight 0 adds nothing. partner: int64 [B], positions in the batch, on its device.
    """
    weights = batch.weights.lerp(batch.weights[partner], share)
    # Where both weights are 0 any target will do.
    share_of_partner = torch.where(weights > 0, share * batch.weights[partner] / weights, share)
    targets = batch.targets.lerp(batch.targets[partner], share_of_partner[:, None])
    return replace(batch, targets=targets, weights=weights)


def choose_partners(sources: Tensor, noise: Tensor) -> Tensor:
    """Position of each sample's partner, int64 [B]: a random permutation with as few pairs of equal source as possible.

    sources: int64 [B], equal for copies of one image. noise: float [B, 3], uniform in [0, 1). Both on the CPU.

    Construction: put the samples on a circle of B places, copies of one source side by side, sources and copies in
    random order. Let m be the largest number of copies of one source, s = max(m, B // 2), w = max(1, B // 2 - m + 1).
    The partner of the sample at place k is the one at place k + s, after places were shuffled in blocks of at most w.

    Proof: copies of one source are less than m places apart. If 2m ≤ B, partners are B // 2 ± (w - 1) places apart,
    that is, between m and B - m: their sources differ. If 2m > B, then w = 1 and s = m. The most frequent source has m
    consecutive places and the next B - m places have other sources, so B - m of its copies have partners of another
    source, and more are impossible. Any other source has at most B - m copies, less than B - m places apart, while
    partners are m or B - m places apart: their sources differ. In total max(0, 2m - B) pairs have equal sources.
    """
    num = len(sources)
    shuffled = noise[:, 0].argsort(stable=True)
    _, group, copies = sources[shuffled].unique(return_inverse=True, return_counts=True)
    group_order = noise[: len(copies), 1].argsort(stable=True)
    circle = shuffled[group_order[group].argsort(stable=True)]
    most = int(copies.max())
    shift, block = max(most, num // 2), max(1, num // 2 - most + 1)
    place = torch.arange(num)
    # In double precision the index of a block plus noise below 1 is never rounded up to the next block.
    within_blocks = (place // block + noise[:, 2].double()).argsort(stable=True)
    partner = torch.empty_like(circle)
    partner[circle] = circle[within_blocks[(place + shift) % num]]
    return partner
