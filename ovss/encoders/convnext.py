"""The image side: a ConvNeXt of timm inside an open_clip model, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ovss.structures import ImageFeatures

__all__ = ["convnext_features"]


def convnext_features(
    visual: nn.Module, image_B3HW: Tensor, levels: Sequence[int]
) -> ImageFeatures:
    """Run the tower once.

    The image embedding of pre-training is the head (norm and projection) of the mean over the last
    stage's cells. A cell is an image of one cell to it: so dense tokens lie in the joint space.

    Args:
        visual: open_clip's TimmModel around a ConvNeXt.
        image_B3HW: normalised pixels, H and W multiples of the last stage's stride.
        levels: 0-based stages whose outputs are wanted.
    """
    stages = sorted(set(levels)) or [0]
    last_BDhw, maps = visual.trunk.forward_intermediates(image_B3HW, indices=stages)
    of_stage = dict(zip(stages, maps, strict=True))
    cells_ND = last_BDhw.permute(0, 2, 3, 1).flatten(0, 2)
    tokens_NC = _embed(visual, cells_ND[:, :, None, None])
    batch, _, height, width = last_BDhw.shape
    return ImageFeatures(
        dense_BChw=tokens_NC.view(batch, height, width, -1).permute(0, 3, 1, 2),
        pooled_BC=_embed(visual, last_BDhw),
        levels=tuple(of_stage[stage] for stage in levels),
    )


def _embed(visual: nn.Module, x_NDhw: Tensor) -> Tensor:
    """Maps of the last stage through the head of pre-training, (N, C)."""
    return visual.head(visual.trunk.forward_head(x_NDhw))
