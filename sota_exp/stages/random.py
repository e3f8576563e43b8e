"""Random numbers keyed by (seed, slot, step) instead of drawn from one running generator.

Each slot has a new generator at each step, seeded by the key. Switching a technique on therefore changes no other
random number, runs with equal seeds are paired, and resuming needs no generator state. Numbers are drawn on the CPU for
the global batch and each rank keeps every world_size-th, so they do not depend on the device or the number of ranks.

PyTorch's generators on the CPU use the lower 32 bits of a seed. So of a million generators of a run, about 116 pairs
have equal numbers, of unrelated slots and steps; 63 bits would leave none. Seeding with more bits would take five times
as long, or an algorithm of our own.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


def key_to_seed(*key: object) -> int:
    """A 63-bit seed computed from the text of the key: equal on every machine and Python version.

    PyTorch's generators on the CPU use its lower 32 bits, NumPy's use all.
    """
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@functools.cache
def has_accelerator() -> bool:
    """Whether this machine has an accelerator, which has its own random generators."""
    return torch.accelerator.is_available()


class Part(NamedTuple):
    """Some samples of a rank's batch of `of`: those at `places`, int64 [n]."""

    places: Tensor
    of: int


@dataclass(frozen=True, kw_only=True)
class RandomNumbers:
    """Random numbers of one slot at one step, on the CPU.

    In all methods `num` is the number of samples on this rank, or of its `part` where only one is made.
    """

    generator: torch.Generator
    rank: int = 0
    world_size: int = 1
    part: Part | None = None

    def _mine(self, num: int, draw: Callable[[int], Tensor]) -> Tensor:
        if self.part is None:
            return draw(num * self.world_size)[self.rank :: self.world_size]
        return draw(self.part.of * self.world_size)[self.rank :: self.world_size][self.part.places]

    def uniform(self, num: int, *shape: int) -> Tensor:
        """Uniform in [0, 1): float32 [num, *shape], one row per sample."""
        return self._mine(num, lambda total: torch.rand(total, *shape, generator=self.generator))

    def integers(self, high: int, num: int, *shape: int) -> Tensor:
        """Uniform integers in [0, high): int64 [num, *shape], one row per sample."""
        return self._mine(num, lambda total: torch.randint(high, (total, *shape), generator=self.generator))

    def shared_uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1): float32 [*shape], equal on every rank, for a decision about the whole batch."""
        return torch.rand(*shape, generator=self.generator)

    def shared_beta(self, alpha: float) -> float:
        """One sample of Beta(alpha, alpha), equal on every rank."""
        concentration = torch.tensor([alpha, alpha], dtype=torch.float64)
        return torch._sample_dirichlet(concentration, generator=self.generator)[0].item()


@dataclass(frozen=True, kw_only=True)
class RandomStreams:
    """The source of all random numbers of a run."""

    seed: int
    rank: int = 0
    world_size: int = 1

    def random_numbers(self, slot: str, step: int | str) -> RandomNumbers:
        """The random numbers of `slot` (such as `augmentation/mix`) at `step`."""
        return RandomNumbers(generator=self.generator(slot, step), rank=self.rank, world_size=self.world_size)

    def generator(self, slot: str, step: int | str) -> torch.Generator:
        """A CPU generator with equal numbers on all ranks, such as for the order of an epoch."""
        return torch.Generator().manual_seed(key_to_seed(self.seed, slot, step))

    def seed_layers(self, step: int | str) -> None:
        """Reseed the global generators, from which dropout and stochastic depth draw, for one step."""
        # Without an accelerator `torch.manual_seed` takes a third of a millisecond to prepare seeding one later.
        seed = torch.manual_seed if has_accelerator() else torch.default_generator.manual_seed
        seed(key_to_seed(self.seed, "layers", step, self.rank))
