"""Computes convolutions whose output is a single pixel as matrix products, in training on the CPU.

At the end of a network of stride 32 an image of 32 px is one pixel: eight of the nine weights of a 3×3 kernel then
multiply zeros of the padding, and five of nine where 2×2 pixels become one. PyTorch's CPU kernels compute these
products too, a third of the step for torchvision's ResNet-18. Without them the sum is the same, in another order; the
gradient of a weight over the padding is zero either way. Evaluation, exports, FLOP counts and other devices (not
measured) use the original convolution.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def count_pixels_read(size: int, kernel: int, stride: int, padding: int) -> int:
    """The number of the `size` pixels along a side that a single output pixel reads; 0 where there are more outputs."""
    is_single = 0 <= size + 2 * padding - kernel < stride
    return max(0, min(size, kernel - padding)) if is_single else 0


class MatrixProductConv2d(nn.Conv2d):
    """A convolution, in training on the CPU a matrix product where its output is one pixel; same state dict."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not (self.training and input.dim() == 4 and input.device.type == "cpu"):
            return super()._conv_forward(input, weight, bias)
        top, left = map(int, self.padding)
        rows = count_pixels_read(input.shape[2], self.kernel_size[0], self.stride[0], top)
        columns = count_pixels_read(input.shape[3], self.kernel_size[1], self.stride[1], left)
        if not (rows and columns):
            return super()._conv_forward(input, weight, bias)
        pixels = input.permute(0, 2, 3, 1)[:, :rows, :columns].flatten(1)
        if self.kernel_size == (1, 1):
            taps = weight.flatten(1)  # a view, so that the gradient has the strides of the weight
        else:
            taps = weight.permute(0, 2, 3, 1)[:, top : top + rows, left : left + columns].flatten(1)
        return F.linear(pixels, taps, bias)[:, :, None, None]


def use_matrix_products(model: nn.Module) -> nn.Module:
    """Turn every convolution without groups or dilation into a `MatrixProductConv2d`, in place."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = MatrixProductConv2d
    return model


def _is_plain(layer: nn.Conv2d) -> bool:
    has_zero_padding = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return has_zero_padding and layer.groups == 1 and layer.dilation == (1, 1)
