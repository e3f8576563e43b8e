"""Random numbers that are keyed, not consumed.

The generator of a slot at a step is seeded from (seed, slot, step), so switching a technique on leaves every other draw
unchanged, runs of equal seed are paired, and resuming needs no generator state. Draws are made on the CPU for the whole
global batch and each rank keeps every world_size-th, so they depend neither on the device nor on the number of ranks.
"""

import functools
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


def key_to_seed(*key: object) -> int:
    """A 63-bit seed from any printable key, equal on every machine and Python version."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@functools.cache
def has_accelerator() -> bool:
    """Whether this machine has a device with generators of its own."""
    return torch.accelerator.is_available()


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The random numbers of one slot at one step; of per-sample draws this rank takes every world_size-th.

    Every method draws on the CPU. `num` is the number of samples on this rank.
    """

    generator: torch.Generator
    rank: int = 0
    world_size: int = 1

    def _mine(self, draws: Tensor) -> Tensor:
        return draws[self.rank :: self.world_size]

    def uniform(self, num: int, *shape: int) -> Tensor:
        """Float32 [num, *shape] in [0, 1), one row a sample."""
        return self._mine(torch.rand(num * self.world_size, *shape, generator=self.generator))

    def normal(self, num: int, *shape: int) -> Tensor:
        """Float32 [num, *shape], standard normal, one row a sample."""
        return self._mine(torch.randn(num * self.world_size, *shape, generator=self.generator))

    def integers(self, high: int, num: int, *shape: int) -> Tensor:
        """Int64 [num, *shape] in [0, high), one row a sample."""
        size = (num * self.world_size, *shape)
        return self._mine(torch.randint(high, size, generator=self.generator))

    def shared(self, *shape: int) -> Tensor:
        """Float32 `shape` in [0, 1), the same on every rank: one decision for the whole batch."""
        return torch.rand(*shape, generator=self.generator)

    def shared_beta(self, alpha: float) -> float:
        """One sample of Beta(alpha, alpha), the same on every rank."""
        concentration = torch.tensor([alpha, alpha], dtype=torch.float64)
        return torch._sample_dirichlet(concentration, generator=self.generator)[0].item()

    def permutation(self, num: int) -> Tensor:
        """Int64 [num]: a permutation of this rank's samples."""
        own = torch.Generator().manual_seed(key_to_seed(self.generator.initial_seed(), self.rank))
        return torch.randperm(num, generator=own)


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Where every random number of a run comes from."""

    seed: int
    rank: int = 0
    world_size: int = 1

    def draws(self, slot: str, step: int | str) -> Draws:
        """The draws of `slot` (a technique's place, such as `augmentation/mix`) at `step`."""
        generator = torch.Generator().manual_seed(key_to_seed(self.seed, slot, step))
        return Draws(generator=generator, rank=self.rank, world_size=self.world_size)

    def generator(self, slot: str, step: int | str) -> torch.Generator:
        """A CPU generator for draws that all ranks make alike, such as an epoch's order."""
        return torch.Generator().manual_seed(key_to_seed(self.seed, slot, step))

    def seed_layers(self, step: int | str) -> None:
        """Reseed the global generators, from which dropout and stochastic depth draw, for one step."""
        # Without a device `torch.manual_seed` makes notes for one to come, in a third of a millisecond.
        seed = torch.manual_seed if has_accelerator() else torch.default_generator.manual_seed
        seed(key_to_seed(self.seed, "layers", step, self.rank))
