"""DeepLab v3+ with frozen batch norms (ECCV 2018), up to the input of its classifier."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.resnet import FrozenNorm, ResNet

__all__ = ["DeepLabV3Plus"]

RATES = (1, 6, 12, 18)
DIM, LOW_DIM = 256, 48


class DeepLabV3Plus(nn.Module):
    """ResNet-101 with stride 16, pyramid pooling, and a decoder that reads the first stage.

    Attributes:
        dim: number of channels of the result.
    """

    dim = DIM

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet(101, dilations=(1, 2, 4), output_stride=16)
        deep, low = self.backbone.dims[-1], self.backbone.dims[0]
        self.branches = nn.ModuleList(
            _unit(deep, DIM, 1 if rate == 1 else 3, rate) for rate in RATES
        )
        self.whole_image = _unit(deep, DIM, 1)
        self.joint = _unit((len(RATES) + 1) * DIM, DIM, 1)
        self.low = _unit(low, LOW_DIM, 1)
        self.last = nn.ModuleList((_unit(DIM + LOW_DIM, DIM, 3), _unit(DIM, DIM, 3)))

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        """Computes the input (B, 256, H / 4, W / 4) of the classifier.

        Args:
            pixels_B3HW: normalised pixels.
        """
        low_BDhw, *_, deep_BDhw = self.backbone(pixels_B3HW)
        pooled_BD11 = self.whole_image(deep_BDhw.mean((2, 3), keepdim=True))
        maps = [branch(deep_BDhw) for branch in self.branches]
        maps.append(pooled_BD11.expand_as(maps[0]))
        x_BDhw = self.joint(torch.cat(maps, dim=1))
        low_BDhw = self.low(low_BDhw)
        x_BDhw = F.interpolate(x_BDhw, size=low_BDhw.shape[2:], mode="bilinear", align_corners=True)
        x_BDhw = torch.cat([x_BDhw, low_BDhw], dim=1)
        for unit in self.last:
            x_BDhw = unit(x_BDhw)
        return x_BDhw


def _unit(before: int, dim: int, kernel: int, rate: int = 1) -> nn.Sequential:
    """Convolution without bias, norm and ReLU."""
    padding = rate * (kernel // 2)
    conv = nn.Conv2d(before, dim, kernel, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(conv, FrozenNorm(dim), nn.ReLU(inplace=True))
