"""Decoder of LSeg: spatial regularisation of each category's map, and upsampling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.registry import DECODERS
from ovss.selection import Selection
from ovss.structures import Alignment, Masks

__all__ = ["SpatialBlockDecoder"]

BLOCKS = ("none", "depthwise", "bottleneck")
ACTIVATIONS = {"relu": F.relu, "lrelu": F.leaky_relu, "tanh": torch.tanh}


@DECODERS.register_module()
class SpatialBlockDecoder(Decoder):
    """Scales cosines to logits, smooths the map of each category, and upsamples (LSeg, sec. 3.4).

    All maps share one convolution of 3 x 3, which is applied `depth` times. The block
    ``bottleneck`` also adds the maximum over the kept categories, so a mask then depends on the
    other categories. The maps are doubled bilinearly, with aligned corners.

    Args:
        scale: factor from cosines to logits; constant, and 1 / 0.07 in the authors' code.
        block: ``none``, ``depthwise`` or ``bottleneck``.
        depth: number of applications of the block. The last one has no activation.
        activation: activation of the others: ``relu``, ``lrelu`` or ``tanh``.

    Raises:
        ValueError: a value out of range, or an unknown name.
    """

    cost_dim = 1
    checkpointed = ("",)

    def __init__(
        self, scale: float, block: str = "none", depth: int = 1, activation: str = "lrelu"
    ) -> None:
        super().__init__()
        check_range("SpatialBlockDecoder", 1, depth=depth)
        if not scale > 0:
            raise ValueError(f"SpatialBlockDecoder.scale must be above 0, got {excerpt(scale)}.")
        for name, value, known in (
            ("block", block, BLOCKS),
            ("activation", activation, ACTIVATIONS),
        ):
            if value not in known:
                raise ValueError(
                    f"SpatialBlockDecoder.{name} must be one of {', '.join(known)}, got "
                    f"{excerpt(value)}."
                )
        self.scale, self.block, self.depth = scale, block, depth
        self.activate = ACTIVATIONS[activation]
        self.conv = None if block == "none" else nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, aligned: Alignment) -> Masks:
        logits_BKhw = self.scale * aligned.cost_BKDhw[:, :, 0]
        logits_BKhw = self.regularised(logits_BKhw, aligned.selection)
        logits_BKHW = F.interpolate(
            logits_BKhw, scale_factor=2, mode="bilinear", align_corners=True
        )
        return Masks(logits_BKHW, aligned.selection)

    def regularised(self, logits_BKhw: Tensor, selection: Selection) -> Tensor:
        """Applies the block to the maps.

        Args:
            logits_BKhw: one map per kept category.
            selection: categories in the K slots.
        """
        if self.conv is None:
            return logits_BKhw
        for step in range(self.depth):
            smooth_BKhw = self.conv(logits_BKhw.flatten(0, 1)[:, None])[:, 0].view_as(logits_BKhw)
            if self.block == "bottleneck":
                smooth_BKhw = smooth_BKhw + _highest(logits_BKhw, selection)
            is_last = step == self.depth - 1
            logits_BKhw = smooth_BKhw if is_last else self.activate(smooth_BKhw)
        return logits_BKhw


def _highest(logits_BKhw: Tensor, selection: Selection) -> Tensor:
    """Maximum over the kept categories, (B, 1, h, w)."""
    if not selection.full:
        padding_BK11 = ~selection.valid_BK[:, :, None, None]
        logits_BKhw = logits_BKhw.masked_fill(padding_BK11, -torch.inf)
    return logits_BKhw.amax(1, keepdim=True)
