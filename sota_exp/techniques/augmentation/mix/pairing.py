"""Whom each sample is mixed with: a permutation that pairs no image with a copy of itself where that can be avoided."""

import torch
from torch import Tensor


def partners(sources: Tensor, noise: Tensor) -> Tensor:
    """Position of each sample's partner, int64 [B]: a permutation with the fewest pairs of one source that any has.

    sources: int64 [B], equal for copies of one image. noise: float [B, 3] in [0, 1). Both on the CPU.

    Construction: lay the samples on a circle of B places, copies side by side, sources and copies in random order. With
    m the most copies that a source has, s = max(m, B // 2) and w = max(1, B // 2 - m + 1), the sample at place k gets
    the one at place k + s, after the places were cut into blocks of at most w and shuffled within each block.

    Proof: copies of one source lie less than m places apart. If 2m ≤ B, partners are B // 2 ± (w - 1) places apart, so
    between m and B - m: never of one source. If 2m > B, then w = 1 and s = m: the commonest source fills m places in a
    row, and from there m places on come first the B - m foreign samples, so B - m of its copies have foreign partners,
    and there are no more to have. Any other source has at most B - m copies, less than B - m places apart, and partners
    are m or B - m places apart: never of one source. In all max(0, 2m - B) pairs, the fewest possible.
    """
    num = len(sources)
    shuffled = noise[:, 0].argsort(stable=True)
    _, group, copies = sources[shuffled].unique(return_inverse=True, return_counts=True)
    group_order = noise[: len(copies), 1].argsort(stable=True)
    circle = shuffled[group_order[group].argsort(stable=True)]
    most = int(copies.max())
    shift, block = max(most, num // 2), max(1, num // 2 - most + 1)
    place = torch.arange(num)
    # In double precision a block's number plus noise below 1 never rounds up into the next block.
    within_blocks = (place // block + noise[:, 2].double()).argsort(stable=True)
    partner = torch.empty_like(circle)
    partner[circle] = circle[within_blocks[(place + shift) % num]]
    return partner
