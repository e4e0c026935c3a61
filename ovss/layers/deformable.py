"""Deformable attention over several maps, with operations of plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.io.option_values import check_range

from .linear import Linear

__all__ = ["DeformableAttention", "cell_centres"]

Size = tuple[int, int]


class DeformableAttention(nn.Module):
    """Attention of each query to a few points of each map (Deformable DETR, ICLR 2021, eq. 3).

    A query predicts, for each head, the offsets of its points from its own place and their weights,
    a softmax over the points of all maps. Maps are read bilinearly, with zeros around them. Memory
    depends on the number of points, but not on points times channels, because the values of the
    points are summed up while they are read.

    Args:
        dim: number of channels.
        heads: number of attention heads.
        levels: number of maps.
        points: number of points in each map.

    Raises:
        ValueError: an argument out of range, or channels that the heads cannot share.
    """

    def __init__(self, dim: int, heads: int = 8, levels: int = 3, points: int = 4) -> None:
        super().__init__()
        sizes = dict(dim=dim, heads=heads, levels=levels, points=points)
        check_range("DeformableAttention", 1, **sizes)
        if dim % heads:
            raise ValueError(
                f"DeformableAttention expects dim to be a multiple of heads={heads}, got {dim}."
            )
        self.heads, self.levels, self.points = heads, levels, points
        self.offset = Linear(dim, heads * levels * points * 2)
        self.weight = Linear(dim, heads * levels * points)
        self.value = Linear(dim, dim)
        self.out = Linear(dim, dim)
        self._initialise()

    def forward(
        self, query_BND: Tensor, value_BMD: Tensor, centre_N2: Tensor, sizes: Sequence[Size]
    ) -> Tensor:
        """Attends to the maps.

        Args:
            query_BND: queries.
            value_BMD: cells of all maps, map after map, row after row.
            centre_N2: (x, y) of each query in 0..1.
            sizes: (height, width) of each map.

        Raises:
            ValueError: another number of maps than that of `__init__`.
        """
        if len(sizes) != self.levels:
            raise ValueError(f"DeformableAttention expects {self.levels} maps, got {len(sizes)}.")
        batch, queries, _ = query_BND.shape
        shape = (batch, queries, self.heads, self.levels, self.points)
        offset_BNALP2 = self.offset(query_BND).view(*shape, 2)
        weight_BNALP = self.weight(query_BND).view(*shape[:3], -1).softmax(-1).view(shape)
        parts = self.value(value_BMD).split([height * width for height, width in sizes], dim=1)
        total_BND = torch.zeros_like(query_BND, dtype=parts[0].dtype)
        x_N11, y_N11 = centre_N2[:, None, None].unbind(-1)
        for level, (size, part_BmD) in enumerate(zip(sizes, parts, strict=True)):
            x_BNAP, y_BNAP = offset_BNALP2[:, :, :, level].unbind(-1)
            # in units of cells, of which the first has its centre at 0.5
            x_BNAP, y_BNAP = x_BNAP + (x_N11 * size[1] - 0.5), y_BNAP + (y_N11 * size[0] - 0.5)
            total_BND = total_BND + weighted_points(
                part_BmD, x_BNAP, y_BNAP, weight_BNALP[:, :, :, level], size
            )
        return self.out(total_BND)

    def _initialise(self) -> None:
        """Points in a ring of directions, one for each head, further out from point to point."""
        for layer in (self.offset, self.weight):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        angle_A = torch.arange(self.heads) * (2 * math.pi / self.heads)
        step_A2 = torch.stack([angle_A.cos(), angle_A.sin()], dim=1)
        step_A2 = step_A2 / step_A2.abs().amax(1, keepdim=True)
        far_P = torch.arange(1, self.points + 1)
        ring_ALP2 = (step_A2[:, None, None] * far_P[:, None]).expand(-1, self.levels, -1, -1)
        with torch.no_grad():
            self.offset.bias.copy_(ring_ALP2.flatten())
        for layer in (self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def weighted_points(
    map_BMD: Tensor, x_BNAP: Tensor, y_BNAP: Tensor, weight_BNAP: Tensor, size: Size
) -> Tensor:
    """Weighted sums (B, N, D) of a map at points, bilinear and with zeros around the map.

    Args:
        map_BMD: cells of the map, row after row. The A heads share the channels.
        x_BNAP, y_BNAP: places of the points in units of cells, 0 at the centre of the first.
        weight_BNAP: weights of the points.
        size: (height, width) of the map.
    """
    batch, queries, heads, points = weight_BNAP.shape
    (height, width), device = size, map_BMD.device
    # A bag is a head of a query; each of its points has four cells. Rows of the table are the
    # channels of a head at a cell, in the order image, cell, head.
    image_B111 = torch.arange(batch, dtype=torch.int32, device=device)[:, None, None, None]
    head_A1 = torch.arange(heads, dtype=torch.int32, device=device)[:, None]
    rows, weights = [], []
    columns = _neighbours(x_BNAP, width)
    for line_BNAP, y_share_BNAP in _neighbours(y_BNAP, height):
        first_BNAP = (image_B111 * height + line_BNAP) * width
        along_BNAP = weight_BNAP * y_share_BNAP
        for column_BNAP, x_share_BNAP in columns:
            rows.append((first_BNAP + column_BNAP) * heads + head_A1)
            weights.append(along_BNAP * x_share_BNAP)
    bags = batch * queries * heads
    sum_Md = weighted_rows(
        map_BMD.reshape(batch * height * width * heads, -1),
        torch.stack(rows, -1).view(bags, 4 * points),
        torch.stack(weights, -1).view(bags, 4 * points).to(map_BMD.dtype),
    )
    return sum_Md.view(batch, queries, -1)


def weighted_rows(table_RD: Tensor, row_MN: Tensor, weight_MN: Tensor) -> Tensor:
    """Weighted sums (M, D) of N rows of a table each."""
    if torch.compiler.is_exporting():  # an exported graph has no bags, but loops over them
        return (weight_MN[:, None] @ table_RD[row_MN.long()]).squeeze(1)
    return F.embedding_bag(row_MN, table_RD, mode="sum", per_sample_weights=weight_MN)


def _neighbours(place: Tensor, side: int) -> list[tuple[Tensor, Tensor]]:
    """Index of both cells around places on an axis, and their shares, 0 outside of the map."""
    low = place.detach().floor()
    part = place - low
    found = []
    for cell, share in ((low, 1 - part), (low + 1, part)):
        inside = (cell >= 0) & (cell <= side - 1)
        # a NaN must stay NaN in the share, but must not become an index
        index = cell.nan_to_num(0.0).clamp(0, side - 1).int()
        found.append((index, share * inside))
    return found


def cell_centres(sizes: Sequence[Size], like: Tensor) -> Tensor:
    """Centres (N, 2) of the cells of several maps as (x, y) in 0..1, map after map.

    Args:
        sizes: (height, width) of each map.
        like: tensor whose device and type the result gets.

    >>> cell_centres([(1, 2)], torch.zeros(1)).tolist()
    [[0.25, 0.5], [0.75, 0.5]]
    """
    centres = []
    for height, width in sizes:
        y_h, x_w = (
            (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5) / side
            for side in (height, width)
        )
        centre_hw2 = torch.stack(
            [x_w.expand(height, width), y_h[:, None].expand(height, width)], dim=2
        )
        centres.append(centre_hw2.flatten(0, 1))
    return torch.cat(centres)
