"""Fusion of the spatial and the class stream by experts with a gate (PCA-Seg's EPL)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.linear import Linear

from .batch_norm import RankBatchNorm


class ExpertFusion(nn.Module):
    """Expert-driven perceptual learning: a gated sum of experts, and a weighted residual.

    Every cell has its own weights for the experts. The experts differ in their parameters only, so
    all of them are computed at once: their channels lie one after the other.

    Args:
        dim: number of channels of each stream and of the output.
        experts: number of experts.
        gate: number of channels inside the gate.
    """

    def __init__(self, dim: int, experts: int, gate: int) -> None:
        super().__init__()
        self.dim, self.experts = dim, experts
        self.spatial = Linear(dim, dim)
        self.classes = Linear(dim, dim)
        self.expand = Linear(2 * dim, experts * 2 * dim)
        self.norm = RankBatchNorm(experts * 2 * dim)
        # a group of two channels makes one: the number of channels halves
        self.mix = nn.Conv2d(experts * 2 * dim, experts * dim, 3, padding=1, groups=experts * dim)
        self.gate = nn.Sequential(Linear(2 * dim, gate), nn.ReLU(), Linear(gate, experts))
        self.residual = Linear(2 * dim, dim)
        self.residual_scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, both_Nhwc: Tensor) -> Tensor:
        """Fuses two streams.

        Args:
            both_Nhwc: spatial stream and class stream, one after the other, (N, h, w, 2 dim).

        Returns:
            Maps (N, h, w, dim).
        """
        spatial_Nhwc, classes_Nhwc = both_Nhwc.split(self.dim, dim=-1)
        x_Nhwc = torch.cat([self.spatial(spatial_Nhwc), self.classes(classes_Nhwc)], dim=-1)
        hidden_Mc = self.norm(self.expand(x_Nhwc).flatten(0, -2))
        hidden_Nhwc = F.gelu(hidden_Mc).view(*x_Nhwc.shape[:-1], -1)
        parts_Nchw = F.gelu(self.mix(hidden_Nhwc.permute(0, 3, 1, 2)))
        parts_Nhwec = parts_Nchw.permute(0, 2, 3, 1).unflatten(-1, (self.experts, self.dim))
        weight_Nhwe1 = self.gate(x_Nhwc).softmax(-1).unsqueeze(-1)
        mixed_Nhwc = (weight_Nhwe1 * parts_Nhwec).sum(-2)
        return mixed_Nhwc + self.residual_scale * self.residual(x_Nhwc)
