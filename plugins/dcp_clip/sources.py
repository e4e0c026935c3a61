"""Inputs that the decoder fuses with the volume: tapped levels, CLIP's attention, plain cosines."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.linear import Linear
from ovss.ops import resize
from ovss.structures import ImageFeatures

COST_UPS = ("bilinear_1x1", "convT_chain")


class LevelProjection(nn.Module):
    """Guidance by one tapped level on the feature grid: 3 x 3 convolution and ReLU.

    Args:
        level_dim: channels of the level.
        out: channels of the guidance.
    """

    def __init__(self, level_dim: int, out: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(level_dim, out, 3, padding=1)

    def forward(self, level_Bchw: Tensor) -> Tensor:
        """Computes the guidance (B, out, h, w)."""
        return F.relu(self.project(level_Bchw))


class AttentionRows(nn.Module):
    """Guidance by each cell's row of the attention matrix, its attention to every cell.

    Rows are divided by uniform attention, so that their values are of the order 1 on any grid. A
    row is a map over the cells, which is resized if the grid differs from that of training.

    Args:
        grid: (h, w) of the training grid.
        out: channels of the guidance.
    """

    def __init__(self, grid: tuple[int, int], out: int) -> None:
        super().__init__()
        self.grid = grid
        self.project = Linear(grid[0] * grid[1], out)

    def forward(self, image: ImageFeatures, detach: bool) -> Tensor:
        """Computes the guidance (B, out, h, w).

        Args:
            image: image features with attention.
            detach: True stops gradients to the attention.
        """
        attention_BNN = required_attention(image.attention_BNN, detach)
        size = image.dense_BChw.shape[-2:]
        rows_BNhw = attention_BNN.unflatten(2, size) * attention_BNN.shape[-1]
        rows_BNM = resize(rows_BNhw, self.grid).flatten(2)
        return self.project(rows_BNM).transpose(1, 2).unflatten(2, size)


class ClassAttention(nn.Module):
    """Guidance by the class token's attention to each cell, for every head of the tapped blocks.

    Args:
        channels: heads times blocks.
        out: channels of the guidance.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, out, 1)

    def forward(self, image: ImageFeatures, detach: bool) -> Tensor:
        """Computes the guidance (B, out, h, w).

        Args:
            image: image features with class attention.
            detach: True stops gradients to the attention.
        """
        maps_BMhw = required_attention(image.class_attention_BMhw, detach)
        # Divided by uniform attention, as in `AttentionRows`.
        return self.project(maps_BMhw * (maps_BMhw.shape[-2] * maps_BMhw.shape[-1]))


def required_attention(attention: Tensor | None, detach: bool) -> Tensor:
    """Returns the encoder's attention, detached if `detach` is True.

    Raises:
        ValueError: the attention is missing.
    """
    if attention is None:
        raise ValueError(
            "SpatialDecoder expects image features with attention, but the encoder did not produce "
            "it. Set attention=True in the encoder, or class_attention=(...) for attn_mode='cls'."
        )
    return attention.detach() if detach else attention


class CostSkip(nn.Module):
    """Plain cosines of each pair, brought to the size of each stage.

    Args:
        num_templates: P, the number of prompt templates.
        dims: channels at each stage.
        up: ``bilinear_1x1`` for a 1 x 1 convolution on the feature grid followed by enlarging,
            which commute; ``convT_chain`` for a chain of transposed convolutions.
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
        """Computes a tensor (K, dim, 2^l h, 2^l w) for each stage l = 1, 2 ..."""
        height, width = raw_KPhw.shape[-2:]
        raw_KPhw = raw_KPhw.contiguous(memory_format=torch.channels_last)
        skips = []
        for stage, step in enumerate(self.steps, 1):
            if self.chain:
                raw_KPhw = F.relu(step(raw_KPhw))
                skips.append(raw_KPhw)
            else:
                skips.append(resize(step(raw_KPhw), (height << stage, width << stage)))
        return skips
