"""Parts of EBSeg between the backbones: fusion, class embeddings, and attention biases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.class_embedding import PooledClassEmbedding, ReLUMLP
from ovss.layers.linear import Linear, linear
from ovss.ops import resize

__all__ = ["PyramidFusion", "RegionBias", "ScaledClassEmbedding"]

LARGEST_SCALE = 10.0


class PyramidFusion(nn.Module):
    """Adds features of CLIP to the coarser levels of a pyramid.

    Args:
        clip_width: number of channels of CLIP's features.
        width: number of channels of the levels.
        count: number of features. They are added to the last levels of the pyramid.
    """

    def __init__(self, clip_width: int, width: int, count: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(clip_width, eps=1e-6) for _ in range(count))
        self.projections = nn.ModuleList(Linear(clip_width, width) for _ in range(count))

    def forward(self, levels: Sequence[Tensor], features: Sequence[Tensor]) -> list[Tensor]:
        """Levels (B, width, h_i, w_i) with the features added, which are resized to them.

        Args:
            levels: pyramid, fine to coarse.
            features: maps (B, clip_width, h, w), one for each of the last levels.
        """
        kept = len(levels) - len(features)
        fused = list(levels[:kept])
        parts = zip(levels[kept:], features, self.norms, self.projections, strict=True)
        for level, feature_BDhw, norm, project in parts:
            grid = (feature_BDhw.shape[2], feature_BDhw.shape[3])
            projected_BND = project(norm(feature_BDhw.flatten(2).transpose(1, 2)))
            map_BDhw = projected_BND.transpose(1, 2).unflatten(2, grid)
            fused.append(level + resize(map_BDhw, (level.shape[2], level.shape[3])))
        return fused


class ScaledClassEmbedding(nn.Module):
    """Class embeddings of queries and their mask features, with one learned length.

    Args:
        dim: number of channels of the queries and of the fine features.
        joint_dim: C, the number of channels of the embeddings.
    """

    def __init__(self, dim: int, joint_dim: int) -> None:
        super().__init__()
        self.pooled = PooledClassEmbedding(dim, dim, joint_dim)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, query_BQD: Tensor, mask_BQhw: Tensor, fine_BMhw: Tensor) -> Tensor:
        """Embeddings (B, Q, C), each of the length `scale`, which is at most 10."""
        embed_BQC = self.pooled(query_BQD, mask_BQhw, fine_BMhw)
        return self.scale.clamp(max=LARGEST_SCALE) * F.normalize(embed_BQC, dim=2)


class RegionBias(nn.Module):
    """Biases on the attention of region tokens to CLIP's patches, for each head.

    A bias is the product of a query and a vector of the pixel, largest pixel of each patch. The
    last layer of the pixels' perceptron is applied to the queries instead, of which there are
    fewer: ``q . (W x + b) = (W' q) . x + q . b``.

    Args:
        dim: number of channels of queries and pixels.
        heads: number of CLIP's attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.hidden = ReLUMLP((dim, dim, dim))
        self.out = Linear(dim, dim * heads)
        self.scale = nn.Linear(1, 1)

    def forward(self, query_BMD: Tensor, fine_BDhw: Tensor, grid: tuple[int, int]) -> Tensor:
        """Computes the biases (B, heads, M, h' * w') of M queries on the grid of CLIP.

        Args:
            query_BMD: mask embeddings of the queries.
            fine_BDhw: fine features.
            grid: (h', w') of CLIP's patches.
        """
        hidden_BLD = self.hidden(fine_BDhw.flatten(2).transpose(1, 2)).relu()
        return torch.stack(
            [
                self._head(
                    query_BMD, hidden_BLD, head, (fine_BDhw.shape[2], fine_BDhw.shape[3]), grid
                )
                for head in range(self.heads)
            ],
            dim=1,
        )

    def _head(
        self,
        query_BMD: Tensor,
        hidden_BLD: Tensor,
        head: int,
        size: tuple[int, int],
        grid: tuple[int, int],
    ) -> Tensor:
        """Biases (B, M, h' * w') of one head."""
        rows = slice(head * query_BMD.shape[2], (head + 1) * query_BMD.shape[2])
        weight_DD, bias_D = self.out.weight[rows], self.out.bias[rows]
        back_BMD = linear(self.scale.weight[0, 0] * query_BMD, weight_DD.t())
        offset_BM1 = self.scale.weight[0, 0] * (query_BMD @ bias_D)[..., None] + self.scale.bias
        map_BMhw = (back_BMD @ hidden_BLD.transpose(1, 2) + offset_BM1).unflatten(2, size)
        return F.adaptive_max_pool2d(map_BMhw, grid).flatten(2)
