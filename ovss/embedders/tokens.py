"""Region embedders that run region tokens through a CLIP ViT: one pass for all regions.

The alternative is a pass for each region on its crop, which costs about a hundred times as much.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import RegionEmbedder
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.patches import embed_patches
from ovss.layers.pixels import normalize_pixels
from ovss.layers.region_tokens import TokenSight, project_tokens, run_with_regions
from ovss.ops import crop_padding, resize
from ovss.registry import EMBEDDERS
from ovss.structures import ImageFeatures, Proposals

__all__ = ["MaskTokens", "QueryTokens"]

RESIZES = ("bilinear", "bicubic")
Size = int | tuple[int, int] | None


@EMBEDDERS.register_module()
class MaskTokens(RegionEmbedder):
    """Region tokens that attend to the class token and to the patches that their region touches.

    Without parameters of its own. This is the MaskCLIP of ODISE (Ding et al., ICML 2023; Xu et al.,
    CVPR 2023), not the dense mode of the same name.

    Args:
        image_size: side, or (height, width), to which images are squashed; None: the size of CLIP's
            pre-training.
        interpolation: ``bilinear`` or ``bicubic``, for images.

    Raises:
        ValueError: an unknown interpolation.
    """

    tower = "vit"

    def __init__(self, image_size: Size = None, interpolation: str = "bilinear") -> None:
        super().__init__()
        _check_interpolation("MaskTokens", interpolation)
        self.image_size, self.interpolation = image_size, interpolation

    def forward(
        self, encoder: Any, features: ImageFeatures, image_B3HW: Tensor, proposals: Proposals
    ) -> tuple[Tensor, Tensor]:
        """
        Raises:
            ValueError: a size that is not a whole number of patches.
        """
        visual = encoder.clip.visual
        pixels_B3HW = _squashed(encoder, image_B3HW, self.image_size, self.interpolation)
        tokens_BND, _ = embed_patches(visual, pixels_B3HW)
        open_BQN = _highest_logits(proposals, pixels_B3HW.shape[2:], visual.patch_size) >= 0
        region_BQD = tokens_BND[:, :1].expand(-1, open_BQN.shape[1], -1)
        return _embedded(visual, tokens_BND, region_BQD, open_BQN), open_BQN.any(2)


@EMBEDDERS.register_module()
class QueryTokens(RegionEmbedder):
    """Region tokens with trained query projections in every block (MasQCLIP, ICCV 2023).

    The token and the projections are stored as differences from CLIP's own class token and query
    projections, and start at zero. An untrained model therefore equals `MaskTokens`, and weight
    decay pulls towards CLIP.

    Args:
        width: number of channels of CLIP's tokens.
        depth: number of CLIP's blocks.
        image_size: side, or (height, width), to which images are squashed; None: the size of CLIP's
            pre-training.
        interpolation: ``bilinear`` or ``bicubic``, for images.

    Raises:
        ValueError: an argument out of range, or an unknown interpolation.
    """

    tower = "vit"

    def __init__(
        self, width: int, depth: int, image_size: Size = None, interpolation: str = "bicubic"
    ) -> None:
        super().__init__()
        check_range("QueryTokens", 1, width=width, depth=depth)
        _check_interpolation("QueryTokens", interpolation)
        self.image_size, self.interpolation = image_size, interpolation
        self.position = nn.Parameter(torch.zeros(width))
        self.queries = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for parameter in self.queries.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, encoder: Any, features: ImageFeatures, image_B3HW: Tensor, proposals: Proposals
    ) -> tuple[Tensor, Tensor]:
        """
        Raises:
            ValueError: another width or depth than that of CLIP, or a size that is not a whole
                number of patches.
        """
        visual = encoder.clip.visual
        found = (visual.transformer.width, len(visual.transformer.resblocks))
        if found != (len(self.position), len(self.queries)):
            raise ValueError(
                f"QueryTokens expects a CLIP of width={len(self.position)} and "
                f"depth={len(self.queries)}, got {found[0]} and {found[1]}. Set width and depth."
            )
        pixels_B3HW = _squashed(encoder, image_B3HW, self.image_size, self.interpolation)
        tokens_BND, _ = embed_patches(visual, pixels_B3HW)
        open_BQN = _highest_logits(proposals, pixels_B3HW.shape[2:], visual.patch_size) > 0
        own_D = visual.class_embedding + visual.positional_embedding[0] + self.position
        region_BQD = visual.ln_pre(own_D).to(tokens_BND.dtype).expand(*open_BQN.shape[:2], -1)
        embed_BQC = _embedded(visual, tokens_BND, region_BQD, open_BQN, self.queries)
        return embed_BQC, open_BQN.any(2)


def _check_interpolation(name: str, interpolation: str) -> None:
    if interpolation not in RESIZES:
        raise ValueError(
            f"{name}.interpolation must be {' or '.join(RESIZES)}, got {excerpt(interpolation)}."
        )


def _squashed(encoder: Any, image_B3HW: Tensor, size: Size, interpolation: str) -> Tensor:
    """Normalised pixels at the size of the tower's input."""
    visual = encoder.clip.visual
    size = visual.image_size if size is None else size
    height, width = (size, size) if isinstance(size, int) else size
    if height % visual.patch_size[0] or width % visual.patch_size[1]:
        raise ValueError(
            f"Region tokens expect an image_size of whole patches of {visual.patch_size} pixels, "
            f"got {(height, width)}."
        )
    pixels_B3HW = normalize_pixels(image_B3HW, encoder.mean_311, encoder.std_311)
    return F.interpolate(pixels_B3HW, (height, width), mode=interpolation, align_corners=False)


def _highest_logits(proposals: Proposals, size: Any, patch: tuple[int, int]) -> Tensor:
    """Highest mask logit in each patch, (B, Q, h * w), of the masks at the size of the input."""
    mask_BQhw = crop_padding(proposals.mask_BQhw, proposals.padding)
    return F.max_pool2d(resize(mask_BQhw, tuple(size)), patch).flatten(2)


def _embedded(
    visual: Any,
    tokens_BND: Tensor,
    region_BQD: Tensor,
    open_BQN: Tensor,
    queries: Any = (),
) -> Tensor:
    """Embeddings (B, Q, C) of region tokens that have run through the whole tower."""
    sight = TokenSight(open_BQN[:, None], sees_class=True, sees_itself=False)
    blocks = visual.transformer.resblocks
    _, region_BQD = run_with_regions(blocks, tokens_BND, region_BQD, sight, queries, finish=False)
    return project_tokens(visual, region_BQD)
