"""DeOP: one pass of CLIP over the whole image, and a decoder that pools its cells by region.

Han et al., "Open-Vocabulary Semantic Segmentation with Decoupled One-Pass Network", ICCV 2023,
arXiv 2304.01198.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import RegionEmbedder
from ovss.io.option_values import check_range
from ovss.layers.maskformer import DETRLayer
from ovss.layers.patches import resize_positions
from ovss.layers.pixels import pad_to_multiple, place_in_multiple
from ovss.ops import resize
from ovss.proposers.maskformer import CELL, MEAN, STD
from ovss.registry import EMBEDDERS
from ovss.structures import ImageFeatures, Proposals


@EMBEDDERS.register_module()
class OnePassEmbedder(RegionEmbedder):
    """Embeds all regions after one pass of the encoder's image tower.

    The last block mixes no patches: attention is replaced by the value of each patch itself, times
    the sum of the proposals' masks on it ("generalised patch severance"). The result in the joint
    space is pooled by queries, whose attention is multiplied by the masks ("heatmap-based
    pooling").

    Only the position tables and the pooling train. Pixels are normalised as for ImageNet, as in the
    authors' code, although CLIP was trained with other statistics.

    Args:
        dim: C, the number of channels of the joint space.
        width: number of channels of the image tower.
        queries: number of proposals.
        grid: side of the learned position tables, which are resized to the grid of patches.
        position_layers: number of learned position tables: for the input, and for the inputs of the
            blocks from the second on.
        heads: number of attention heads of the pooling.
        hidden: number of channels inside its feed-forward network.

    Raises:
        ValueError: an argument out of range.
    """

    tower = "vit"

    def __init__(
        self,
        dim: int,
        width: int,
        queries: int = 100,
        grid: int = 24,
        position_layers: int = 6,
        heads: int = 8,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        check_range("OnePassEmbedder", 1, dim=dim, width=width, queries=queries, grid=grid)
        check_range("OnePassEmbedder", 1, position_layers=position_layers, heads=heads)
        if dim % heads:
            raise ValueError(
                f"OnePassEmbedder expects dim of a multiple of heads, got {dim} and {heads}."
            )
        self.grid = grid
        self.place_LND = nn.Parameter(torch.zeros(position_layers, grid * grid + 1, width))
        self.pooling = RegionPooling(dim, queries, heads, hidden)
        for name, values in (("mean_311", MEAN), ("std_311", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    mean_311: Tensor
    std_311: Tensor

    def forward(
        self, encoder: Any, features: ImageFeatures, image_B3HW: Tensor, proposals: Proposals
    ) -> tuple[Tensor, Tensor]:
        """Embeds the regions of a batch of images.

        Args:
            encoder: encoder with an open_clip ViT.
            features: not read.
            image_B3HW: RGB in 0..255.
            proposals: regions to embed.

        Returns:
            Embeddings (B, Q, C), not normalised, and True for all.
        """
        padding = proposals.padding or place_in_multiple(image_B3HW, CELL)
        own_B3HW = image_B3HW.to(self.place_LND)
        pixels_B3HW = pad_to_multiple(own_B3HW, self.mean_311, self.std_311, padding)
        valid_BQ11 = proposals.valid_BQ[:, :, None, None]
        mask_BQhw = proposals.mask_BQhw.masked_fill(~valid_BQ11, 0.0)
        dense_BNC, share_BQN = self._dense(encoder.clip.visual, pixels_B3HW, mask_BQhw, valid_BQ11)
        return self.pooling(dense_BNC, share_BQN), torch.ones_like(proposals.valid_BQ)

    def _dense(
        self, visual: Any, pixels_B3HW: Tensor, mask_BQhw: Tensor, valid_BQ11: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cells in the joint space (B, N, C), normalised, and the masks on them (B, Q, N)."""
        patch_BDhw = visual.conv1(pixels_B3HW.to(visual.conv1.weight.dtype))
        grid = (patch_BDhw.shape[2], patch_BDhw.shape[3])
        share_BQN = (resize(mask_BQhw, grid).sigmoid() * valid_BQ11).flatten(2)
        tables = [resize_positions(x_ND, (self.grid, self.grid), grid) for x_ND in self.place_LND]
        class_B1D = visual.class_embedding.expand(patch_BDhw.shape[0], 1, -1)
        x_BLD = torch.cat([class_B1D, patch_BDhw.flatten(2).transpose(1, 2)], dim=1)
        own_LD = resize_positions(visual.positional_embedding, visual.grid_size, grid)
        x_BLD = visual.ln_pre(x_BLD + own_LD + tables[0])
        *blocks, last = visual.transformer.resblocks
        for index, block in enumerate(blocks):
            if 0 < index < len(tables):
                x_BLD = x_BLD + tables[index]
            x_BLD = x_BLD + block.ls_1(block.attn(block.ln_1(x_BLD)))
            x_BLD = x_BLD + block.ls_2(block.mlp(block.ln_2(x_BLD)))
        x_BND = x_BLD[:, 1:]
        value_BND = last.attn.value(last.ln_1(x_BND)) * share_BQN.sum(1)[:, :, None]
        x_BND = x_BND + last.ls_1(last.attn.out_proj(value_BND))
        x_BND = x_BND + last.ls_2(last.mlp(last.ln_2(x_BND)))
        return F.normalize(visual.ln_post(x_BND) @ visual.proj, dim=2), share_BQN


class RegionPooling(nn.Module):
    """Pools cells by queries whose attention is multiplied by the mask of their region.

    Values are the cells themselves, so that the result stays in their space.

    Args:
        dim: number of channels of cells and queries.
        queries: number of queries.
        heads: number of attention heads.
        hidden: number of channels inside the feed-forward network.
    """

    def __init__(self, dim: int, queries: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.places = nn.Embedding(queries, dim)
        self.layer = DETRLayer(dim, heads, hidden, dropout=0.1)
        self.self_attn = nn.MultiheadAttention(dim, heads, 0.1, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, dense_BNC: Tensor, share_BQN: Tensor) -> Tensor:
        """Pools the cells, (B, Q, C).

        Args:
            dense_BNC: cells.
            share_BQN: masks on the cells, in 0..1.

        Raises:
            ValueError: another number of masks than queries.
        """
        count = self.places.num_embeddings
        if share_BQN.shape[1] != count:
            raise ValueError(
                f"RegionPooling expects {count} proposals, one for each query, got "
                f"{share_BQN.shape[1]}. Set queries of the proposer and of the embedder alike."
            )
        place_QC = self.places.weight
        zero_BQC = dense_BNC.new_zeros(dense_BNC.shape[0], *place_QC.shape)
        x_BQC = self.layer(zero_BQC, place_QC, dense_BNC, dense_BNC)
        placed_BQC = x_BQC + place_QC
        own_BQC = self.self_attn(placed_BQC, placed_BQC, x_BQC, need_weights=False)[0]
        x_BQC = self.norm(x_BQC + own_BQC)
        query, key, value = (
            x.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for x in (self.query(x_BQC + place_QC), self.key(dense_BNC), dense_BNC)
        )
        weight_BHQN = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(3)
        pooled_BHQc = (weight_BHQN * share_BQN[:, None]) @ value
        return pooled_BHQc.transpose(1, 2).flatten(2)
