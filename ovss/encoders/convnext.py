"""Features of a timm ConvNeXt that serves as the image tower of an open_clip model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ovss.structures import ImageFeatures

__all__ = ["convnext_features"]


def convnext_features(
    visual: nn.Module, image_B3HW: Tensor, levels: Sequence[int]
) -> ImageFeatures:
    """Computes the features of a batch of images in one pass.

    Pre-training averages the cells of the last stage and applies the head (norm and projection).
    Applying the head to each cell separately gives dense tokens in the same joint space, because a
    single cell is treated like an image of one cell.

    Args:
        visual: open_clip's TimmModel around a ConvNeXt.
        image_B3HW: normalised pixels; H and W are multiples of the last stage's stride.
        levels: 0-based stages whose outputs become `ImageFeatures.levels`.
    """
    stages = sorted(set(levels)) or [0]  # timm needs at least one
    last_BDhw, maps = visual.trunk.forward_intermediates(image_B3HW, indices=stages)
    map_by_stage = dict(zip(stages, maps, strict=True))
    cells_ND = last_BDhw.permute(0, 2, 3, 1).flatten(0, 2)
    tokens_NC = _embed(visual, cells_ND[:, :, None, None])
    batch, _, height, width = last_BDhw.shape
    return ImageFeatures(
        dense_BChw=tokens_NC.view(batch, height, width, -1).permute(0, 3, 1, 2),
        pooled_BC=_embed(visual, last_BDhw),
        levels=tuple(map_by_stage[stage] for stage in levels),
    )


def _embed(visual: nn.Module, x_NDhw: Tensor) -> Tensor:
    """Applies the head of pre-training to maps of the last stage, (N, C)."""
    return visual.head(visual.trunk.forward_head(x_NDhw))
