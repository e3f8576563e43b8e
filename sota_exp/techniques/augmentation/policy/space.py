"""The search space of a policy: operations and their evenly spaced magnitudes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.techniques.augmentation.policy import ops

# Posterize takes a number of bits. Solarize takes a level, a fraction of 255, which torchvision computes in float64.
ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "posterize": torch.round,
    "solarize": lambda fraction: (255 * fraction.double()).ceil().float(),
}


@dataclass(frozen=True, kw_only=True)
class OperationSpace:
    """The K operations that a policy draws from.

    ops: int64 [K], positions in `ops.OP_NAMES`. table: magnitudes, float [K, num_bins].
    signed: bool [K], whether the sign of the magnitude is random.
    """

    ops: Tensor
    table: Tensor
    signed: Tensor

    def magnitude(self, drawn: Tensor, bins: Tensor | int, coin: Tensor) -> Tensor:
        """Magnitudes [B] of the rows `drawn` [B] at `bins` [B], negated if the row is signed and `coin` [B] < 1/2."""
        magnitude = self.table[drawn, bins]
        return torch.where(self.signed[drawn] & (coin < 0.5), -magnitude, magnitude)


def randaugment_ranges(size: int) -> dict[str, tuple[float, float, bool]]:
    """{operation: (first magnitude, last magnitude, signed)} of RandAugment for images of `size` pixels."""
    return ranges(shear=0.3, translate=150 / 331 * size, rotate=30, color=0.9, posterize=4)


def ranges(
    shear: float, translate: float, rotate: float, color: float, posterize: int
) -> dict[str, tuple[float, float, bool]]:
    """{operation: (first magnitude, last magnitude, signed)} of the 14 operations, from their last magnitudes."""
    return {
        "identity": (0, 0, False),
        "shear_x": (0, shear, True),
        "shear_y": (0, shear, True),
        "translate_x": (0, translate, True),
        "translate_y": (0, translate, True),
        "rotate": (0, rotate, True),
        "brightness": (0, color, True),
        "color": (0, color, True),
        "contrast": (0, color, True),
        "sharpness": (0, color, True),
        "posterize": (8, posterize, False),
        "solarize": (1, 0, False),
        "autocontrast": (0, 0, False),
        "equalize": (0, 0, False),
    }


def build_timm_space(num_bins: int, size: int, increasing: bool) -> OperationSpace:
    """timm's 15 operations at `num_bins` magnitudes from its 0 to its 10, for images of `size` pixels.

    increasing: as with `inc1`, where all operations get stronger with the magnitude.
    """
    level = torch.arange(num_bins, dtype=torch.float64) / (num_bins - 1)
    bits, threshold = (4 * level).floor(), (256 * level).floor()
    blend = (0.9 * level if increasing else 1.8 * level - 0.9, increasing)
    rows = {
        **dict.fromkeys(("autocontrast", "equalize", "invert"), (torch.zeros(num_bins), False)),
        **dict.fromkeys(("color", "contrast", "brightness", "sharpness"), blend),
        **dict.fromkeys(("shear_x", "shear_y"), (0.3 * level, True)),
        **dict.fromkeys(("translate_x", "translate_y"), (0.45 * size * level, True)),
        "rotate": (30 * level, True),
        "posterize": (4 - bits if increasing else bits, False),
        "solarize": (256 - threshold if increasing else threshold, False),
        "solarize_add": ((110 * level).floor(), False),
    }
    return OperationSpace(
        ops=torch.tensor([ops.OP_NAMES.index(name) for name in rows]),
        table=torch.stack([row.float() for row, _ in rows.values()]),
        signed=torch.tensor([signed for _, signed in rows.values()]),
    )


def build_space(ranges: Mapping[str, tuple[float, float, bool]], num_bins: int) -> OperationSpace:
    """The space of `num_bins` evenly spaced magnitudes, from {operation: (first, last, signed)}."""
    rows = {name: torch.linspace(first, last, num_bins) for name, (first, last, _) in ranges.items()}
    table = [ROUNDING[name](row) if name in ROUNDING else row for name, row in rows.items()]
    return OperationSpace(
        ops=torch.tensor([ops.OP_NAMES.index(name) for name in ranges]),
        table=torch.stack(table),
        signed=torch.tensor([signed for _, _, signed in ranges.values()]),
    )
