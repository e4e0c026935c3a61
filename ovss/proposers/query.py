"""Small proposer of learned queries with masked attention, for any encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Proposer
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.attention import attend
from ovss.ops import region_pool, resize
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Proposals

from .pyramid import PixelPyramid

EMBEDDINGS = ("query", "pooled", "residual")


@PROPOSERS.register_module()
class QueryProposer(Proposer):
    """Proposes regions with learned queries, in the manner of Mask2Former but much smaller.

    A light stem on the pixels makes the masks finer than the feature grid. In each layer the
    queries attend to one map of the pyramid, inside the masks of the layer before
    (arXiv 2112.01527, section 3.2), and to each other.

    Args:
        joint_dim: C, the number of channels of the embeddings.
        level_dims: number of channels of the encoder's levels.
        dim: number of channels of queries and maps.
        queries: Q, the number of proposals.
        layers: number of layers of the decoder.
        heads: number of attention heads.
        expand: factor by which the hidden layer of a feed-forward block is wider than `dim`.
        stem_dims: number of channels of the pixel stem's stages, fine first. With n stages the
            masks are 2 ** n times finer than the feature grid.
        embedding: embedding of a proposal. ``query`` maps the query alone (MaskFormer); ``pooled``
            adds the mean of the mask's features (FC-CLIP); ``residual`` also adds the mean of the
            encoder's dense tokens, so that training learns a correction of them.

    Raises:
        ValueError: an argument out of range.
    """

    any_level_scale = True
    sources = 1

    def __init__(
        self,
        joint_dim: int,
        level_dims: Sequence[int],
        dim: int,
        queries: int,
        layers: int,
        heads: int,
        expand: int,
        stem_dims: Sequence[int] = (),
        embedding: str = "query",
    ) -> None:
        super().__init__()
        sizes = dict(joint_dim=joint_dim, dim=dim, queries=queries, layers=layers, heads=heads)
        check_range("QueryProposer", 1, **sizes, expand=expand, stem_dims=min(stem_dims, default=1))
        if embedding not in EMBEDDINGS or dim % heads:
            raise ValueError(
                f"QueryProposer expects embedding of {EMBEDDINGS} and dim divisible by heads, got "
                f"{excerpt(embedding)}, {dim} and {heads}."
            )
        self.joint_dim, self.level_dims = joint_dim, tuple(level_dims)
        self.embedding = embedding
        self.pyramid = PixelPyramid(level_dims, dim, stem_dims)
        self.mask_features = nn.Conv2d(dim, dim, 1)
        self.query_QD = nn.Parameter(torch.randn(queries, dim))
        self.place_QD = nn.Parameter(torch.randn(queries, dim))
        self.layers = nn.ModuleList(MaskedLayer(dim, heads, expand) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.mask_head = _mlp(dim, dim, dim)
        self.pooled: nn.Module | None = None
        if embedding != "query":
            self.pooled = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim))
        self.embed_head = _mlp(dim, dim, joint_dim)

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        """Proposes Q regions of each image; in training also those of the earlier layers."""
        *coarse, finest_BDhw = self.pyramid(features, image_B3HW)
        attended = coarse or [finest_BDhw]
        mask_BDhw = self.mask_features(finest_BDhw)
        query_BQD = self.query_QD.expand(mask_BDhw.shape[0], -1, -1)
        place_1QD = self.place_QD[None]
        found = []
        for index in range(len(self.layers) + 1):
            normed_BQD = self.norm(query_BQD)
            logits_BQhw = torch.einsum("bqd,bdhw->bqhw", self.mask_head(normed_BQD), mask_BDhw)
            is_last = index == len(self.layers)
            if is_last or self.training:
                embed_BQC = self._embed(normed_BQD, logits_BQhw.detach(), mask_BDhw, features)
                found.append((logits_BQhw, embed_BQC[:, :, None]))
            if not is_last:
                map_BDhw = attended[index % len(attended)]
                allowed_BQM = _inside(logits_BQhw.detach(), map_BDhw)
                query_BQD = self.layers[index](query_BQD, place_1QD, map_BDhw, allowed_BQM)
        return Proposals.of_layers(found, features.padding)

    def _embed(
        self, normed_BQD: Tensor, logits_BQhw: Tensor, mask_BDhw: Tensor, features: ImageFeatures
    ) -> Tensor:
        """Embeddings (B, Q, C) of the proposals."""
        if self.pooled is None:
            return self.embed_head(normed_BQD)
        inside_BQhw = (logits_BQhw > 0).to(mask_BDhw.dtype)
        learned_BQC = self.embed_head(normed_BQD + self.pooled(region_pool(mask_BDhw, inside_BQhw)))
        if self.embedding == "pooled":
            return learned_BQC
        own_BQC = region_pool(features.dense_BChw, inside_BQhw)
        return F.normalize(own_BQC, dim=2) + learned_BQC


class MaskedLayer(nn.Module):
    """Layer of the decoder: attention to a map inside the masks, among the queries, then an MLP.

    Args:
        dim: number of channels.
        heads: number of attention heads.
        expand: see `QueryProposer`.
    """

    def __init__(self, dim: int, heads: int, expand: int) -> None:
        super().__init__()
        self.heads = heads
        self.cross, self.own = nn.Linear(dim, dim), nn.Linear(dim, 3 * dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.cross_out, self.own_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.feed = _mlp(dim, expand * dim, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

    def forward(
        self, query_BQD: Tensor, place_1QD: Tensor, map_BDhw: Tensor, allowed_BQM: Tensor
    ) -> Tensor:
        """Next state of the queries.

        Args:
            query_BQD: state of the queries.
            place_1QD: learned positions of the queries.
            map_BDhw: map with M = h * w cells.
            allowed_BQM: True where a query attends to a cell.
        """
        map_BMD = map_BDhw.flatten(2).transpose(1, 2)
        key, value = (self._split(part) for part in self.key_value(map_BMD).chunk(2, dim=2))
        query = self._split(self.cross(query_BQD + place_1QD))
        found = attend(query, key, value, allowed=allowed_BQM[:, None])
        query_BQD = self.norms[0](query_BQD + self.cross_out(found.transpose(1, 2).flatten(2)))
        own = self.own(query_BQD + place_1QD).chunk(3, dim=2)
        query, key, value = (self._split(part) for part in own)
        found = attend(query, key, value)
        query_BQD = self.norms[1](query_BQD + self.own_out(found.transpose(1, 2).flatten(2)))
        return self.norms[2](query_BQD + self.feed(query_BQD))

    def _split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _inside(logits_BQhw: Tensor, map_BDhw: Tensor) -> Tensor:
    """True for the cells inside each mask (B, Q, M), and everywhere if the mask has no cell."""
    inside_BQM = resize(logits_BQhw, (map_BDhw.shape[2], map_BDhw.shape[3])).flatten(2) > 0
    return inside_BQM | ~inside_BQM.any(2, keepdim=True)


def _mlp(dim: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, out))
