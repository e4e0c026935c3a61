"""What the decoder fuses besides the volume: tapped levels, CLIP's attention, the plain cosines."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.linear import Linear
from ovss.ops import resize
from ovss.structures import ImageFeatures

COST_UPS = ("bilinear_1x1", "convT_chain")


class LevelProjection(nn.Module):
    """One tapped level as guidance, at the feature grid: 3 x 3 convolution and ReLU."""

    def __init__(self, level_dim: int, out: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(level_dim, out, 3, padding=1)

    def forward(self, level_Bchw: Tensor) -> Tensor:
        return F.relu(self.project(level_Bchw))


class AttentionRows(nn.Module):
    """Each cell's row of the attention as a descriptor: how much it looks at every other cell.

    Rows are relative to even attention, so that they are of the order 1 on any grid. A row is a map
    over the cells: on another grid than the one that was trained with, it is resized.

    Args:
        grid: (h, w) of training.
        out: channels of the guidance.
    """

    def __init__(self, grid: tuple[int, int], out: int) -> None:
        super().__init__()
        self.grid = grid
        self.project = Linear(grid[0] * grid[1], out)

    def forward(self, image: ImageFeatures, detach: bool) -> Tensor:
        """(B, out, h, w)"""
        attention_BNN = taken(image.attention_BNN, detach)
        size = image.dense_BChw.shape[-2:]
        rows_BNhw = attention_BNN.unflatten(2, size) * attention_BNN.shape[-1]
        rows_BNM = resize(rows_BNhw, self.grid).flatten(2)
        return self.project(rows_BNM).transpose(1, 2).unflatten(2, size)


class ClassAttention(nn.Module):
    """The class token's attention to each cell, every head of every block that was asked for.

    Args:
        channels: heads times blocks.
        out: channels of the guidance.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, out, 1)

    def forward(self, image: ImageFeatures, detach: bool) -> Tensor:
        """(B, out, h, w)"""
        maps_BMhw = taken(image.class_attention_BMhw, detach)
        return self.project(maps_BMhw * (maps_BMhw.shape[-2] * maps_BMhw.shape[-1]))


def taken(attention: Tensor | None, detach: bool) -> Tensor:
    """The encoder's attention.

    Raises:
        ValueError: there is none.
    """
    if attention is None:
        raise ValueError(
            "SpatialDecoder got image features without the attention that it fuses: ask the "
            "encoder for it (attention=True, or class_attention=(...) for attn_mode='cls')"
        )
    return attention.detach() if detach else attention


class CostSkip(nn.Module):
    """The plain cosines of a pair, at the size of each stage.

    Args:
        num_templates: P.
        dims: channels at each stage.
        up: ``bilinear_1x1``: a 1 x 1 convolution on the feature grid, then enlarged, which is the
            same as the other way round; ``convT_chain``: transposed convolutions, one upon the
            other.
    """

    def __init__(self, num_templates: int, dims: tuple[int, ...], up: str) -> None:
        super().__init__()
        self.chain = up == "convT_chain"
        self.steps = nn.ModuleList()
        for dim in dims:
            if self.chain:
                self.steps.append(nn.ConvTranspose2d(num_templates, dim, 2, stride=2))
                num_templates = dim
            else:
                self.steps.append(nn.Conv2d(num_templates, dim, 1))

    def forward(self, raw_KPhw: Tensor) -> list[Tensor]:
        """One (K, dim, 2^l h, 2^l w) for each stage l = 1, 2 ..."""
        height, width = raw_KPhw.shape[-2:]
        raw_KPhw = raw_KPhw.contiguous(memory_format=torch.channels_last)
        found = []
        for stage, step in enumerate(self.steps, 1):
            if self.chain:
                raw_KPhw = F.relu(step(raw_KPhw))
                found.append(raw_KPhw)
            else:
                found.append(resize(step(raw_KPhw), (height << stage, width << stage)))
        return found
