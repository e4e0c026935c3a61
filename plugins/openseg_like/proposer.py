"""PooledQueryProposer: learned queries, whose embeddings are means of a trained map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovss.interfaces import Proposer
from ovss.io.option_values import check_range
from ovss.layers.sine_positions import sine_positions
from ovss.ops import region_pool, resize
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Proposals

__all__ = ["PooledQueryProposer"]


@PROPOSERS.register_module()
class PooledQueryProposer(Proposer):
    """Proposes regions with learned queries, in the manner of OpenSeg (ECCV 2022, section 3).

    A feature pyramid gives two maps: one for masks, one for meaning. Queries attend to the first;
    mask logits are inner products with it. The embedding of a region is the mean of the second,
    weighted by the mask.

    Args:
        joint_dim: C, the number of channels of the embeddings.
        level_dims: channels of the encoder's levels, fine first.
        dim: number of channels of queries and masks.
        queries: Q, the number of proposals.
        layers: number of layers of attention.
        heads: number of attention heads.
        feedforward: number of hidden channels in a layer.
    """

    any_level_scale = True
    sources = 1
    checkpointed = ("layers.*",)

    def __init__(
        self,
        joint_dim: int,
        level_dims: Sequence[int],
        dim: int = 256,
        queries: int = 128,
        layers: int = 3,
        heads: int = 8,
        feedforward: int = 1024,
    ) -> None:
        super().__init__()
        check_range("PooledQueryProposer", 1, joint_dim=joint_dim, dim=dim, queries=queries,
                    layers=layers, heads=heads, feedforward=feedforward)  # fmt: skip
        if not level_dims or dim % heads or dim % 4:
            raise ValueError(
                f"PooledQueryProposer expects at least one level, and dim divisible by 4 and by "
                f"heads, got level_dims={tuple(level_dims)}, dim={dim} and heads={heads}."
            )
        self.joint_dim, self.level_dims = joint_dim, tuple(level_dims)
        self.laterals = nn.ModuleList(nn.Conv2d(size, dim, 1) for size in level_dims)
        self.mask_map = nn.Conv2d(dim, dim, 3, padding=1)
        self.meaning_map = nn.Conv2d(dim, joint_dim, 3, padding=1)
        self.query_QD = nn.Parameter(torch.randn(queries, dim))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(dim, heads, feedforward, 0.0, batch_first=True)
            for _ in range(layers)
        )
        self.to_mask = nn.Linear(dim, dim)

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        """Proposes Q regions of each image."""
        size = features.levels[0].shape[-2:]
        maps = [
            resize(lateral(level), (size[0], size[1]))
            for lateral, level in zip(self.laterals, features.levels, strict=True)
        ]
        sum_BDhw = torch.stack(maps).sum(0)
        mask_BDhw, meaning_BChw = self.mask_map(sum_BDhw), self.meaning_map(sum_BDhw)
        grid = (features.levels[-1].shape[2], features.levels[-1].shape[3])
        coarse_BDhw = resize(mask_BDhw, grid)
        positions_Dhw = sine_positions(coarse_BDhw, coarse_BDhw.shape[1])
        coarse_BDhw = coarse_BDhw + positions_Dhw.to(coarse_BDhw)
        memory_BMD = coarse_BDhw.flatten(2).transpose(1, 2)
        query_BQD = self.query_QD.expand(memory_BMD.shape[0], -1, -1)
        for layer in self.layers:
            query_BQD = layer(query_BQD, memory_BMD)
        logits_BQhw = torch.einsum("bqd,bdhw->bqhw", self.to_mask(query_BQD), mask_BDhw)
        embed_BQC = region_pool(meaning_BChw, logits_BQhw.sigmoid())
        valid_BQ = torch.ones_like(logits_BQhw[..., 0, 0], dtype=torch.bool)
        return Proposals(logits_BQhw, embed_BQC[:, :, None], valid_BQ, padding=features.padding)
