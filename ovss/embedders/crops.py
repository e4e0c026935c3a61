"""Embedder that shows each masked region to CLIP as an image of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import RegionEmbedder
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.class_token import embed_with_mask_prompts
from ovss.layers.crops import (
    Taps,
    average_taps,
    bicubic_taps,
    cut,
    mask_extents,
    nearest_index,
)
from ovss.layers.pixels import normalize_pixels
from ovss.ops import resize
from ovss.registry import EMBEDDERS
from ovss.structures import ImageFeatures, Proposals

RESIZES = ("bicubic", "average")
Size = tuple[int, int]
Extent = tuple[Tensor, Tensor, Tensor]
"""First line, last line, and False for empty masks."""


@EMBEDDERS.register_module()
class CropEmbedder(RegionEmbedder):
    """Cuts each region out, blanks what is outside its mask, and embeds the crop by CLIP.

    The box of the mask is resized to the image size of CLIP's pre-training without keeping its
    aspect ratio. Pixels outside the mask are 0 after normalising. Every proposal whose mask is not
    empty costs one pass of the image tower.

    Args:
        threshold: probability above which a pixel belongs to the mask.
        resize: ``bicubic`` interpolates the whole box inside the image without anti-aliasing
            (ZSSeg, OVSeg); ``average`` averages the area between the centres of the first and last
            row and column, and takes the whole padded input if that area is empty (ZegFormer).
        mask_prompts: (depth, patches, width) of the vectors that replace blank patches (OVSeg);
            empty for none.
        trainable: True to train these vectors.
        chunk: number of crops that are processed at once, which bounds the memory.

    Raises:
        ValueError: an argument out of range.
    """

    tower = "vit"

    def __init__(
        self,
        threshold: float = 0.5,
        resize: str = "bicubic",
        mask_prompts: Sequence[int] = (),
        trainable: bool = False,
        chunk: int = 20,
    ) -> None:
        super().__init__()
        check_range("CropEmbedder", 1, chunk=chunk, mask_prompts=min(mask_prompts, default=1))
        if resize not in RESIZES or not 0 <= threshold < 1 or len(mask_prompts) not in (0, 3):
            raise ValueError(
                f"CropEmbedder expects resize of {' or '.join(RESIZES)}, a threshold in 0..1 and "
                f"mask_prompts of none or three numbers, got {excerpt(resize)}, {threshold} and "
                f"{list(mask_prompts)}."
            )
        self.threshold, self.resize, self.chunk = threshold, resize, chunk
        self.prompt_LND: nn.Parameter | None = None
        if mask_prompts:
            self.prompt_LND = nn.Parameter(torch.zeros(*mask_prompts), requires_grad=trainable)

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
            Embeddings (B, Q, C), not normalised, and False where the mask is empty. With
            ``bicubic`` the embedding of an empty mask is 0.

        Raises:
            ValueError: mask prompts of another size than the tower's patches.
        """
        visual = encoder.clip.visual
        self._check(visual)
        pixels_B3HW = normalize_pixels(image_B3HW, encoder.mean_311, encoder.std_311)
        embeds, filled = [], []
        for pixels_3HW, mask_Qhw in zip(pixels_B3HW, proposals.mask_BQhw):
            size = (pixels_3HW.shape[1], pixels_3HW.shape[2])
            mask_QHW = torch.cat(
                [self._masks(part, size, proposals) for part in mask_Qhw.split(self.chunk)]
            )
            filled_Q = mask_QHW.flatten(1).any(1)
            embeds.append(self._embed(visual, pixels_3HW, mask_QHW, filled_Q))
            filled.append(filled_Q)
        return torch.stack(embeds), torch.stack(filled)

    def _embed(self, visual: Any, pixels_3HW: Tensor, mask_QHW: Tensor, filled_Q: Tensor) -> Tensor:
        """Embeddings (Q, C) of the regions of one image; 0 for those that are left out."""
        if self.resize == "average" or filled_Q.is_meta:  # a blank crop counts, and so do its FLOPs
            return torch.cat(
                [self._embed_some(visual, pixels_3HW, part) for part in mask_QHW.split(self.chunk)]
            )
        kept_N = filled_Q.nonzero()[:, 0]  # waits for the device, which a skipped pass outweighs
        embed_QC = visual.proj.new_zeros(filled_Q.shape[0], visual.proj.shape[1])
        for start in range(0, kept_N.shape[0], self.chunk):
            part_N = kept_N[start : start + self.chunk]
            embed_NC = self._embed_some(visual, pixels_3HW, mask_QHW[part_N])
            embed_QC = embed_QC.to(embed_NC.dtype).index_copy(0, part_N, embed_NC)
        return embed_QC

    def _embed_some(self, visual: Any, pixels_3HW: Tensor, mask_NHW: Tensor) -> Tensor:
        """Embeddings (N, C) of some regions of one image."""
        rows, columns = mask_extents(mask_NHW, 1), mask_extents(mask_NHW, 2)
        size = _image_size(visual)
        height, width = mask_NHW.shape[1:]
        below, right = height - pixels_3HW.shape[1], width - pixels_3HW.shape[2]
        pixels_HW3 = F.pad(pixels_3HW, (0, right, 0, below)).permute(1, 2, 0)
        taps = self._taps(rows, columns, (height, width), size, pixels_3HW.dtype)
        crop_N3SS = cut(pixels_HW3 * mask_NHW[..., None], *taps)
        visible_NP = None
        if self.prompt_LND is not None:
            crop_NSS = nearest_crops(mask_NHW, rows, columns, size)
            visible_NP = visible_patches(crop_NSS, visual.patch_size)
        return embed_with_mask_prompts(visual, crop_N3SS, visible_NP, self.prompt_LND)

    def _taps(
        self, rows: Extent, columns: Extent, lines: Size, size: Size, dtype: torch.dtype
    ) -> tuple[Taps, Taps]:
        """Lines of the image that make the rows and the columns of the crops."""
        sides = zip((rows, columns), lines, size)
        if self.resize == "bicubic":
            row_taps, column_taps = (
                bicubic_taps(first_N, last_N, side, dtype)
                for (first_N, last_N, _), _, side in sides
            )
            return row_taps, column_taps
        is_line_N = (rows[1] == rows[0]) | (columns[1] == columns[0])
        row_taps, column_taps = (
            average_taps(
                torch.where(is_line_N, 0, first_N) - 0.5,
                torch.where(is_line_N, count, last_N - first_N),
                side,
                count,
                dtype,
            )
            for (first_N, last_N, _), count, side in sides
        )
        return row_taps, column_taps

    def _masks(self, mask_Nhw: Tensor, own: Sequence[int], proposals: Proposals) -> Tensor:
        """Boolean masks of the size of the image; with ``average``, of the padded input."""
        padding = proposals.padding
        size = (own[0], own[1]) if padding is None else padding.padded
        mask_NHW = resize(mask_Nhw[None], size)[0].sigmoid() > self.threshold
        return mask_NHW[:, : own[0], : own[1]] if self.resize == "bicubic" else mask_NHW

    def _check(self, visual: Any) -> None:
        """Checks the tower."""
        grid_h, grid_w = visual.grid_size
        width = visual.conv1.out_channels
        if visual.pool_type != "tok":
            raise ValueError(
                "CropEmbedder expects an image tower whose class token is the image embedding. Use "
                "another CLIP model."
            )
        if self.prompt_LND is not None and self.prompt_LND.shape[1:] != (grid_h * grid_w, width):
            raise ValueError(
                f"CropEmbedder.mask_prompts expects {grid_h * grid_w} patches of width {width}, as "
                f"the image tower has, got {tuple(self.prompt_LND.shape[1:])}."
            )


def _image_size(visual: Any) -> Size:
    """(height, width) of images in pre-training."""
    (rows, columns), (height, width) = visual.grid_size, visual.patch_size
    return rows * height, columns * width


def nearest_crops(mask_NHW: Tensor, rows: Extent, columns: Extent, size: Size) -> Tensor:
    """Crops (N, *size) of masks by the nearest pixel."""
    row_NS = nearest_index(rows[0], rows[1], size[0])
    column_NS = nearest_index(columns[0], columns[1], size[1])
    number_N11 = torch.arange(mask_NHW.shape[0], device=mask_NHW.device)[:, None, None]
    return mask_NHW[number_N11, row_NS[:, :, None], column_NS[:, None]]


def visible_patches(crop_NSS: Tensor, patch: Size) -> Tensor:
    """1 for patches (N, patches) that contain a pixel of the mask, and 0 for others."""
    return F.max_pool2d(crop_NSS[:, None].float(), patch).flatten(1)
