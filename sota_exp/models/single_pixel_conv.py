"""Convolutions that give a single pixel, computed in training as the matrix products they are.

At the end of a network of stride 32 an image of 32 px is one pixel: of the nine taps of a 3×3 kernel eight lie in the border
then and multiply zeros, and so do five where 2×2 pixels become one. Kernels of PyTorch's for the CPU multiply them all the
same: for torchvision's ResNet-18 that is a third of the step. Left out, the sum is the same one, added in another order; the
gradient of a tap in the border is zero, as it is otherwise. In evaluation, in what is exported, where operations are counted
and on other devices, whose kernels nobody measured for this, a network computes as its authors wrote it.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def reach(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many of the `size` pixels along a side the only output sees; 0 where it is not the only one."""
    is_only = 0 <= size + 2 * padding - kernel < stride
    return max(0, min(size, kernel - padding)) if is_only else 0


class ProductConv2d(nn.Conv2d):
    """A convolution that is a matrix product in training on the CPU where its output is one pixel. Weights keep their names."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not (self.training and input.dim() == 4 and input.device.type == "cpu"):
            return super()._conv_forward(input, weight, bias)
        top, left = map(int, self.padding)
        rows = reach(input.shape[2], self.kernel_size[0], self.stride[0], top)
        columns = reach(input.shape[3], self.kernel_size[1], self.stride[1], left)
        if not (rows and columns):
            return super()._conv_forward(input, weight, bias)
        pixels = input.permute(0, 2, 3, 1)[:, :rows, :columns].flatten(1)
        if self.kernel_size == (1, 1):
            taps = weight.flatten(1)  # so that its gradient has the strides of the weight
        else:
            taps = weight.permute(0, 2, 3, 1)[:, top : top + rows, left : left + columns].flatten(1)
        return F.linear(pixels, taps, bias)[:, :, None, None]


def as_products(model: nn.Module) -> nn.Module:
    """Let every plain convolution of a network be a `ProductConv2d`, in place; groups and dilation are left as they are."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = ProductConv2d
    return model


def _is_plain(layer: nn.Conv2d) -> bool:
    borders = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return borders and layer.groups == 1 and layer.dilation == (1, 1)
