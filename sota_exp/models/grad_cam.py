"""Grad-CAM, by captum: where in an image a network saw evidence for a class.

heat = ReLU(Σ_c w_c · A_c) of a feature map A [C, h, w], w_c the mean of ∂logit/∂A_c over its positions, interpolated to
the size of the image (Selvaraju et al. 2016, arXiv 1610.02391).
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from sota_exp.errors import ConfigError
from sota_exp.models.saved import SavedModel

#: The color of the most heat, and its share of a pixel there: the image stays visible.
HOT, HOT_SHARE = (255.0, 110.0, 0.0), 0.7


def draw_grad_cam(model: SavedModel, images: Tensor, classes: Tensor) -> Tensor:
    """Each image, and right of it the same in grey with the heat for a class: uint8 [B, 3, S, S] → [B, 3, S, 2 S].

    classes: int64 [B]. The network sees one view of an image, also where evaluation averages several.

    Raises:
        ConfigError: the network has no feature map.
    """
    if not len(images):
        return images
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.preprocessing.mean, model.preprocessing.std))
    normalized = (images.float() / 255 - mean) / std
    layer = find_feature_layer(model.network, normalized[:1])
    pairs = zip(normalized.split(1), classes.split(1), strict=True)  # one by one: all would take gigabytes
    return draw_beside(images, torch.cat([compute_heat(model.network, layer, *pair) for pair in pairs]))


def find_feature_layer(network: nn.Module, images: Tensor) -> nn.Module:
    """The last module whose output has several positions per image, which must be a feature map [B, C, h, h].

    images: normalized, float [B, 3, S, S].

    Raises:
        ConfigError: it is none, but tokens [B, N, C], or channels come last.
    """
    found: dict[nn.Module, list[int]] = {}

    def remember(module: nn.Module, inputs: object, output: object) -> None:
        found.pop(module, None)  # the order is that of the last calls
        if isinstance(output, Tensor) and output.dim() > 2 and output[0, 0].numel() > 1:
            found[module] = list(output.shape)

    with register_module_forward_hook(remember), torch.no_grad():
        network(images)
    shape = [*found.values()][-1] if found else []
    if len(shape) != 4 or shape[2] != shape[3]:
        ends = f"the last output of {type(network).__name__} that has several positions is {shape or 'none'}"
        raise ConfigError(f"--grad-cam needs a feature map [1, channels, height, width], and {ends}: leave it out")
    return [*found][-1]


def compute_heat(network: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """The heat of the layer's feature map for a class of each image, float [B, 1, S, S].

    images: normalized, float [B, 3, S, S]. classes: int64 [B].
    """
    from captum.attr import LayerAttribution, LayerGradCam

    heat = LayerGradCam(network, layer).attribute(images.requires_grad_(), classes, relu_attributions=True)
    return LayerAttribution.interpolate(heat, images.shape[2:], "bilinear").detach()


def draw_beside(images: Tensor, heat: Tensor) -> Tensor:
    """Images, uint8 [B, 3, S, S], and right of each the same in grey, coloured by its heat relative to its maximum.

    heat: float [B, 1, S, S], not negative. Without any, the right half is grey.
    """
    share = HOT_SHARE * heat / heat.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)
    grey = images.float().mean(1, keepdim=True)
    drawn = torch.lerp(grey.expand(images.shape), torch.tensor(HOT).view(3, 1, 1).expand(images.shape), share)
    return torch.cat([images, drawn.round().to(torch.uint8)], 3)
