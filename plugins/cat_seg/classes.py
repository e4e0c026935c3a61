"""Class aggregation: linear attention over the categories, separately at every location."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.chunks import rows_at_once
from ovss.layers.guided import GuidedQKV, map_chunks, mlp
from ovss.layers.linear_attention import KeyValueSums, positive


class ClassAggregation(nn.Module):
    """Linear attention among the categories of an image (Katharopoulos et al., elu + 1).

    If an image has fewer than `pad_length` categories, copies of one learned token fill the gap.
    All copies have the same key and value, so they are computed once and multiplied by their
    number.

    Args:
        dim: channels.
        guide_dim: channels of the text guidance.
        heads: attention heads.
        hidden: channels inside the MLP.
        pad_length: least number of tokens in the attention, 256 in the paper's code.
    """

    def __init__(self, dim: int, guide_dim: int, heads: int, hidden: int, pad_length: int) -> None:
        super().__init__()
        self.heads, self.pad_length = heads, pad_length
        self.numbers = max(3 * dim, hidden)  # of a cell, in the largest intermediate result
        self.padding_token = nn.Parameter(torch.zeros(dim))
        self.padding_guide = nn.Parameter(torch.zeros(guide_dim))
        self.norm1 = nn.LayerNorm(dim)
        self.attention = GuidedQKV(dim, guide_dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, hidden, nn.ReLU())

    def forward(
        self, x_Khwc: Tensor, text_Kc: Tensor, pool: int, chunk: int, counts: tuple[int, ...] = ()
    ) -> Tensor:
        """Adds the attended maps to `x_Khwc`.

        Args:
            x_Khwc: feature maps, one for each category of one image.
            text_Kc: text guidance of these categories.
            pool: side of the average pooling before the attention, limited to the grid.
            chunk: number of maps whose locations are processed at a time on a CPU.
            counts: number of maps of each image, if they belong to several images.
        """
        if len(set(counts)) > 1:
            split = zip(x_Khwc.split(list(counts)), text_Kc.split(list(counts)), strict=True)
            return torch.cat([self._mixed(*part, pool, chunk) for part in split])
        return self._mixed(x_Khwc, text_Kc, pool, chunk, max(len(counts), 1))

    def _mixed(
        self, x_Khwc: Tensor, text_Kc: Tensor, pool: int, chunk: int, images: int = 1
    ) -> Tensor:
        """Maps of images that have the same number of categories."""
        height, width = x_Khwc.shape[1:3]
        pool = min(pool, height, width)
        pooled_Khwc = x_Khwc
        if pool > 1:
            pooled_Khwc = F.avg_pool2d(x_Khwc.permute(0, 3, 1, 2), pool).permute(0, 2, 3, 1)
        offset_K11c = self.attention.offset(text_Kc)[:, None, None]
        out = self._rows(pooled_Khwc, offset_K11c, chunk, images)
        if pool > 1:
            # The published code aligns corners here and nowhere else.
            out = F.interpolate(
                out.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=True
            ).permute(0, 2, 3, 1)
        # `out` already contains the pooled x, so x is counted twice, as in the published code.
        return x_Khwc + out

    def _rows(self, x_Khwc: Tensor, offset_K11c: Tensor, chunk: int, images: int) -> Tensor:
        """Attention of images with the same number of categories, some rows of cells at a time.

        Rows are independent, so the rows of all images are computed like those of one.
        """
        height, width = x_Khwc.shape[1:3]
        if images > 1:
            x_Khwc = x_Khwc.unflatten(0, (images, -1)).transpose(0, 1).flatten(1, 2)
            offset = offset_K11c.unflatten(0, (images, -1)).transpose(0, 1)
            offset_K11c = offset.expand(-1, -1, height, -1, -1).flatten(1, 2)
        kept = x_Khwc.shape[0]
        row = kept * width * self.numbers
        size = rows_at_once(max(1, chunk * height // kept), x_Khwc, row)
        if offset_K11c.shape[1] == 1:
            return map_chunks(lambda part: self._attend(part, offset_K11c), x_Khwc, size, dim=1)
        size = x_Khwc.shape[1] if torch.is_grad_enabled() else size
        parts = zip(x_Khwc.split(size, 1), offset_K11c.split(size, 1), strict=True)
        out = torch.cat([self._attend(*part) for part in parts], dim=1)
        return out.unflatten(1, (images, height)).transpose(0, 1).flatten(0, 1)

    def _attend(self, x_Khwc: Tensor, offset_K11c: Tensor) -> Tensor:
        qkv = self.attention(self.norm1(x_Khwc), offset_K11c)
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).unbind(-3)
        absent = max(0, self.pad_length - x_Khwc.shape[0])
        sums = KeyValueSums.of(positive(key), value, x_Khwc.shape[0] + absent)
        attended = (sums + self._padding(absent, sums.length)).read(positive(query))
        x_Khwc = x_Khwc + attended.flatten(-2)
        return x_Khwc + self.mlp(self.norm2(x_Khwc))

    def _padding(self, absent: int, length: int) -> KeyValueSums:
        """Sums of `absent` copies of the learned token.

        They are added even if `absent` is 0, so that every parameter always gets a gradient.
        """
        offset = self.attention.offset(self.padding_guide)
        qkv = self.attention(self.norm1(self.padding_token), offset)
        _, key, value = qkv.unflatten(-1, (3, self.heads, -1)).unbind(-3)
        key = positive(key)
        values = key[:, :, None] * value[:, None] * (absent / length)
        return KeyValueSums(values, absent * key, length)
