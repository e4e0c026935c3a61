"""Decoder of SPNet: the highest logit over several scales of the image."""

from __future__ import annotations

import torch.nn.functional as F

from ovss.interfaces import Decoder
from ovss.io.option_values import check_range
from ovss.registry import DECODERS
from ovss.structures import Alignment, Masks

__all__ = ["ScaleMaxDecoder"]


@DECODERS.register_module()
class ScaleMaxDecoder(Decoder):
    """Takes the maximum over the channels of the volume, and upsamples it.

    In training each channel is an auxiliary output as well.

    Args:
        cost_dim: D, the number of scales.
        stride: stride of the grid in pixels. A grid of n cells becomes (n - 1) * stride + 1 pixels,
            as in DeepLab, whose input of 513 pixels has 65 cells.
        align_corners: True if the outermost cells lie at the outermost pixels.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, cost_dim: int, stride: int = 8, align_corners: bool = False) -> None:
        super().__init__()
        check_range("ScaleMaxDecoder", 1, cost_dim=cost_dim, stride=stride)
        self.cost_dim, self.stride, self.align_corners = cost_dim, stride, align_corners

    def forward(self, aligned: Alignment) -> Masks:
        cost_BKDhw = aligned.cost_BKDhw
        size = [(side - 1) * self.stride + 1 for side in cost_BKDhw.shape[3:]]
        logits_BKHW = F.interpolate(
            cost_BKDhw.amax(2), size=size, mode="bilinear", align_corners=self.align_corners
        )
        several = self.training and self.cost_dim > 1
        return Masks(logits_BKHW, aligned.selection, cost_BKDhw.unbind(2) if several else ())
