"""Context of the whole image for the proposals of SCAN, from CLIP's inner features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.linear import Linear, linear
from ovss.layers.query_layer import FusedAttention

__all__ = ["ContextCalibration", "LowFrequencyFilter"]


class LowFrequencyFilter(nn.Module):
    """Adds a learned function of the low frequencies of a map to the map.

    Args:
        width: number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand, self.contract = Linear(2 * width, 2 * width), Linear(2 * width, 2 * width)

    def forward(self, map_BDhw: Tensor, sigma: float) -> Tensor:
        """Filtered map, in single precision or better.

        Args:
            map_BDhw: feature map.
            sigma: width of the suppressed band around the highest frequencies, in cells.
        """
        kind = map_BDhw.device.type
        with torch.autocast("cpu" if kind == "meta" else kind, enabled=False):
            map_BDhw = map_BDhw.to(torch.promote_types(map_BDhw.dtype, torch.float32))
            spectrum_BDhw = torch.fft.fft2(map_BDhw) * _low_pass(map_BDhw, sigma)
            parts_BhwE = torch.cat([spectrum_BDhw.real, spectrum_BDhw.imag], dim=1)
            parts_BhwE = parts_BhwE.permute(0, 2, 3, 1)
            hidden_BhwE = linear(parts_BhwE, self.expand.weight, self.expand.bias, "relu")
            real_BhwD, imaginary_BhwD = self.contract(hidden_BhwE).chunk(2, dim=3)
            changed_BhwD = torch.fft.ifft2(torch.complex(real_BhwD, imaginary_BhwD), dim=(1, 2))
            return map_BDhw + changed_BhwD.real.permute(0, 3, 1, 2)


class ContextCalibration(nn.Module):
    """Lets proposals attend to CLIP's view of the whole image.

    Args:
        width: number of channels of CLIP's tokens.
        joint_dim: C, the number of channels of the embeddings.
        sigmas: width of each feature's filter, see `LowFrequencyFilter`.
        layers: number of attention layers, and of the layers after them.
        heads: number of attention heads.
        feedforward: number of hidden channels of the layers after the attention.
        dropout: dropout rate of these layers in training.
    """

    def __init__(
        self,
        width: int,
        joint_dim: int,
        sigmas: Sequence[float] = (9.0, 7.0, 3.0),
        layers: int = 5,
        heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.sigmas = tuple(sigmas)
        self.filter = LowFrequencyFilter(width)
        self.project = nn.Sequential(Linear(width, joint_dim), Linear(joint_dim, joint_dim))
        self.fuse = nn.ModuleList(FusedAttention(joint_dim, heads) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(joint_dim) for _ in range(layers - 1))
        self.refine = nn.ModuleList(
            nn.TransformerEncoderLayer(joint_dim, heads, feedforward, dropout, batch_first=True)
            for _ in range(layers)
        )
        self.weight = nn.Parameter(torch.full((1,), 0.1))

    def memory(self, features: Sequence[Tensor]) -> Tensor:
        """Cells (B, N, C) of all filtered features, one feature after the other.

        Args:
            features: maps (B, D, h, w), one for each of `sigmas`.
        """
        filtered = [
            self.filter(feature, sigma).flatten(2).transpose(1, 2)
            for feature, sigma in zip(features, self.sigmas, strict=True)
        ]
        return self.project(torch.cat(filtered, dim=1))

    def forward(self, embed_BMC: Tensor, memory_BNC: Tensor, pooled_BC: Tensor) -> Tensor:
        """Calibrated embeddings (B, M, C). They do not see one another.

        Args:
            embed_BMC: embeddings of proposals.
            memory_BNC: cells of the whole image.
            pooled_BC: CLIP's embedding of the whole image.
        """
        for index, attention in enumerate(self.fuse):
            embed_BMC = embed_BMC + attention(embed_BMC, memory_BNC, memory_BNC)
            if index < len(self.norms):
                embed_BMC = self.norms[index](embed_BMC)
        embed_BMC = embed_BMC + self.weight * F.normalize(pooled_BC, dim=1)[:, None]
        # as published, each proposal is a sequence of its own
        embed_N1C = embed_BMC.flatten(0, 1)[:, None]
        for layer in self.refine:
            embed_N1C = layer(embed_N1C)
        return embed_N1C[:, 0].unflatten(0, embed_BMC.shape[:2])


def _low_pass(map_BDhw: Tensor, sigma: float) -> Tensor:
    """Factor (h, w) of each frequency: 0 for the highest, which is in the middle, near 1 for 0."""
    squares = []
    for side in map_BDhw.shape[2:]:
        place_N = torch.arange(side, device=map_BDhw.device, dtype=map_BDhw.dtype)
        squares.append((place_N - side // 2).square())
    distance_hw = squares[0][:, None] + squares[1]
    return 1 - torch.exp(-distance_hw / (2 * sigma**2))
