"""Class aggregation: linear attention over the categories, separately at every location."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.heads = heads
        self.pad_length = pad_length
        self.padding_token = nn.Parameter(torch.zeros(dim))
        self.padding_guide = nn.Parameter(torch.zeros(guide_dim))
        self.norm1 = nn.LayerNorm(dim)
        self.attention = GuidedQKV(dim, guide_dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, hidden, nn.ReLU())

    def forward(self, x_Khwc: Tensor, text_Kc: Tensor, pool: int, chunk: int) -> Tensor:
        """Adds the attended maps to `x_Khwc`.

        Args:
            x_Khwc: feature maps, one for each category of one image.
            text_Kc: text guidance of these categories.
            pool: side of the average pooling before the attention, limited to the grid.
            chunk: number of maps whose locations are processed at a time.
        """
        height, width = x_Khwc.shape[1:3]
        pool = min(pool, height, width)
        pooled_Khwc = x_Khwc
        if pool > 1:
            pooled_Khwc = F.avg_pool2d(x_Khwc.permute(0, 3, 1, 2), pool).permute(0, 2, 3, 1)
        offset_K11c = self.attention.offset(text_Kc)[:, None, None]
        rows = max(1, chunk * height // len(x_Khwc))
        out = map_chunks(lambda p: self._attend(p, offset_K11c), pooled_Khwc, rows, dim=1)
        if pool > 1:
            # The published code aligns corners here and nowhere else.
            out = F.interpolate(
                out.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=True
            ).permute(0, 2, 3, 1)
        # `out` already contains the pooled x, so x is counted twice, as in the published code.
        return x_Khwc + out

    def _attend(self, x_Khwc: Tensor, offset_K11c: Tensor) -> Tensor:
        qkv = self.attention(self.norm1(x_Khwc), offset_K11c)
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).unbind(-3)
        absent = max(0, self.pad_length - len(x_Khwc))
        sums = KeyValueSums.of(positive(key), value, len(x_Khwc) + absent)
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
