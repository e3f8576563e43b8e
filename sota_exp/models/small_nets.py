"""The networks of `model/arch/small`: residual ones, and those that pool."""

import torch
from torch import Tensor, nn

# Name → number of blocks in each of the four stages, channels of the first stage (doubled from stage to stage).
SMALL_NETWORKS = {
    "resnet_xs": ((1, 1, 1, 1), 8),
    "resnet_s": ((1, 1, 1, 1), 16),
    "resnet_m": ((1, 1, 1, 1), 32),
    "resnet_l": ((2, 2, 2, 2), 32),
}

# Name → channels of the three stages of a network that pools.
POOLED_NETWORKS = {"pooled_s": (32, 96, 96), "pooled_m": (64, 256, 256)}

NAMES = (*SMALL_NETWORKS, *POOLED_NETWORKS)

#: Strides of the stages; with the stem's stride of 2 an image of 48 px ends in a feature map of 6 × 6.
STRIDES = (1, 2, 2, 1)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; parameter names as in torchvision, which takes a second to import."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        branch = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(branch)) + shortcut)


class SmallResNet(nn.Module):
    """Images [B, 3, S, S] → logits [B, num_classes], S ≥ 16."""

    def __init__(self, depths: tuple[int, ...], width: int, num_classes: int) -> None:
        super().__init__()
        self.stem = build_conv(3, width, stride=2)
        widths = [width * 2**stage for stage in range(len(depths))]
        inputs = [width, *widths[:-1]]
        self.stages = nn.Sequential(*map(build_stage, inputs, widths, depths, STRIDES))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.stages(self.stem(images))), 1))


def build_stage(in_channels: int, channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """Basic blocks of one width; the first has the given stride."""
    shortcut = None
    if stride > 1 or in_channels != channels:
        shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
            nn.Conv2d(in_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
    first = BasicBlock(in_channels, channels, stride=stride, downsample=shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels) for _ in range(num_blocks - 1)))


class PooledNet(nn.Module):
    """Images [B, 3, S, S] → logits [B, num_classes], S ≥ 8: the largest value of a channel enters the linear layer."""

    def __init__(self, widths: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        inputs = [24, *widths[:-1]]
        self.stem = build_conv(3, inputs[0])
        self.stages = nn.Sequential(
            *(
                nn.Sequential(build_conv(before, width, nn.MaxPool2d(2)), build_conv(width, width))
                for before, width in zip(inputs, widths, strict=True)
            )
        )
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.stages(self.stem(images))), 1))


def build_conv(in_channels: int, channels: int, *between: nn.Module, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution, what is between, batch norm, ReLU."""
    conv = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, *between, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def build_small(name: str, num_classes: int, width_multiplier: float) -> nn.Module:
    """An untrained network by name; its channels are multiplied and rounded to multiples of eight."""

    def scale(width: int) -> int:
        return max(8, round(width * width_multiplier / 8) * 8)

    if name in POOLED_NETWORKS:
        return PooledNet(tuple(map(scale, POOLED_NETWORKS[name])), num_classes)
    depths, width = SMALL_NETWORKS[name]
    return SmallResNet(depths, scale(width), num_classes)
