"""Stage of gradual fusion as in SED, with a ConvNeXt block that mixes over space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ovss.layers.fusion import ClassBlock, FusionStage
from ovss.layers.guided import mlp
from ovss.layers.upsample import GuidedUpsample

_CONV_EPS = 1e-6


class ConvBlock(nn.Module):
    """ConvNeXt block, applied to the map of every category separately.

    Args:
        dim: channels.
        kernel: side of the depthwise convolution.
        hidden: channels inside the MLP.
    """

    def __init__(self, dim: int, kernel: int, hidden: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=_CONV_EPS)
        self.mlp = mlp(dim, hidden, nn.GELU())
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x_Khwc: Tensor) -> Tensor:
        """Mixes the cells of every map (K, h, w, c)."""
        near_Khwc = self.depthwise(x_Khwc.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x_Khwc + self.gamma * self.mlp(self.norm(near_Khwc))


def gradual_stage(
    dim: int, guide: int, out: int, kernel: int, heads: int, expand: int
) -> FusionStage:
    """Builds one stage of SED's decoder.

    Args:
        dim: input channels.
        guide: channels of the guidance, the same for image and volume.
        out: output channels.
        kernel: side of the depthwise convolution.
        heads: attention heads.
        expand: width of the MLPs as a multiple of `dim`.
    """
    return FusionStage(
        ConvBlock(dim, kernel, expand * dim),
        ClassBlock(dim, heads, expand * dim),
        GuidedUpsample(dim, dim - guide, guide, out, skip=guide),
    )
