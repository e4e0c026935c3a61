"""Regions of an image through a CLIP of their own, with tokens of the whole image (SCAN)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovss.embedders.crops import nearest_crops, visible_patches
from ovss.encoders.last_block import LastBlock
from ovss.io.excerpts import excerpt
from ovss.layers.crops import bicubic_taps, cut, mask_extents
from ovss.layers.patches import embed_patches
from ovss.layers.pixels import normalize_pixels
from ovss.layers.region_tokens import project_tokens, run_block
from ovss.ops import resize
from ovss.structures import Padding

__all__ = ["ORDERS", "ShiftedCrops"]

ORDERS = ("seeded", "raster")


class ShiftedCrops(nn.Module):
    """Shows each masked region to a CLIP ViT as an image of its own.

    After some blocks, a share of the patches outside the mask is replaced by the class token that
    another tower has for the whole image after the same block. The published code chooses these
    patches at random in every run. Here a fixed table of random numbers, one for each block,
    proposal and patch, chooses them: the result depends on nothing but the image and the masks.

    Regions without pixels are not computed. To know them the host waits for the device once for
    each image.

    Args:
        visual: image tower, used and not copied.
        queries: Q, the largest number of proposals of an image.
        replaced: numbers of blocks after which patches are replaced.
        threshold: probability above which a pixel belongs to a mask.
        ratio: share of the patches outside the mask that are replaced, rounded down.
        order: ``seeded`` for the table, ``raster`` to replace the first patches in reading order.
        seed: seed of the table.
        chunk: number of regions that are processed at once, which bounds the memory.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        visual: nn.Module,
        queries: int,
        replaced: Sequence[int] = (1, 3, 5),
        threshold: float = 0.4,
        ratio: float = 0.05,
        order: str = "seeded",
        seed: int = 0,
        chunk: int = 10,
    ) -> None:
        super().__init__()
        depth = len(visual.transformer.resblocks)  # type: ignore[arg-type, union-attr]
        if order not in ORDERS or not 0 < threshold < 1 or not 0 <= ratio <= 1 or chunk < 1:
            raise ValueError(
                f"ShiftedCrops expects order of {' or '.join(ORDERS)}, threshold and ratio in 0..1 "
                f"and chunk of at least 1, got {excerpt(order)}, {threshold}, {ratio} and {chunk}."
            )
        if not all(1 <= block <= depth for block in replaced):
            raise ValueError(
                f"ShiftedCrops.replaced names blocks {list(replaced)}, but the tower has blocks 1 "
                f"to {depth}."
            )
        self.visual = visual
        self.replaced = tuple(replaced)
        self.threshold, self.ratio, self.chunk = threshold, ratio, chunk
        rows, columns = visual.grid_size  # type: ignore[misc]
        height, width = visual.patch_size  # type: ignore[misc]
        self.size = (rows * height, columns * width)
        order_RQP = _order(order, seed, (len(self.replaced), queries, rows * columns))
        self.register_buffer("order_RQP", order_RQP, persistent=False)

    @torch.no_grad()
    def forward(
        self,
        image_B3HW: Tensor,
        mean_311: Tensor,
        std_311: Tensor,
        mask_BQhw: Tensor,
        padding: Padding,
        class_RBD: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Embeds the regions.

        Args:
            image_B3HW: RGB in 0..255.
            mean_311: mean of the pixels in pre-training, in 0..255.
            std_311: standard deviation of the pixels in pre-training, in 0..255.
            mask_BQhw: mask logits on the padded input.
            padding: place of the image in the padded input.
            class_RBD: class tokens (B, D) of the whole images after each of `replaced`.

        Returns:
            Embeddings (B, Q, C), not normalised, 0 for masks without pixels; and a boolean (B, Q),
            False for these.
        """
        embeds, filled = [], []
        for i, image_3HW in enumerate(image_B3HW):
            mask_QHW = self._masks(mask_BQhw[i], padding)
            filled_Q = mask_QHW.flatten(1).any(1)
            pixels_HW3 = normalize_pixels(image_3HW, mean_311, std_311).permute(1, 2, 0)
            class_RD = torch.stack([class_BD[i] for class_BD in class_RBD]) if class_RBD else None
            embed_QC = pixels_HW3.new_zeros(filled_Q.shape[0], self.visual.output_dim)
            kept_N = _numbers(filled_Q)
            for start in range(0, kept_N.shape[0], self.chunk):
                number_N = kept_N[start : start + self.chunk]
                crop_N3SS, inside_NP = self._crops(pixels_HW3, mask_QHW[number_N])
                embed_NC = self._embed(crop_N3SS, inside_NP, class_RD, number_N)
                embed_QC[number_N] = embed_NC.to(embed_QC)
            embeds.append(embed_QC)
            filled.append(filled_Q)
        return torch.stack(embeds), torch.stack(filled)

    def _crops(self, pixels_HW3: Tensor, mask_NHW: Tensor) -> tuple[Tensor, Tensor]:
        """Crops (N, 3, *size) with the mean colour outside the masks; True for patches inside."""
        rows, columns = mask_extents(mask_NHW, 1), mask_extents(mask_NHW, 2)
        row_taps, column_taps = (
            bicubic_taps(first_N, last_N, side, pixels_HW3.dtype)
            for (first_N, last_N, _), side in zip((rows, columns), self.size, strict=True)
        )
        crop_N3SS = cut(pixels_HW3 * mask_NHW[..., None], row_taps, column_taps)
        inside_NSS = nearest_crops(mask_NHW, rows, columns, self.size)
        return crop_N3SS, visible_patches(inside_NSS, self.visual.patch_size) > 0  # type: ignore[arg-type]

    def _embed(
        self, crop_N3SS: Tensor, inside_NP: Tensor, class_RD: Tensor | None, number_N: Tensor
    ) -> Tensor:
        """Embeddings (N, C) of crops of one image, not normalised.

        Args:
            crop_N3SS: normalised pixels of the size of pre-training.
            inside_NP: True for patches with a pixel of the mask.
            class_RD: class token of the whole image after each of `replaced`.
            number_N: proposal of each crop.
        """
        visual = self.visual
        tokens_NPD, grid = embed_patches(visual, crop_N3SS)
        blocks = visual.transformer.resblocks  # type: ignore[union-attr]
        for index, block in enumerate(blocks[:-1], 1):  # type: ignore[arg-type, index]
            tokens_NPD = run_block(block, tokens_NPD)
            if index in self.replaced and class_RD is not None:
                which = self.replaced.index(index)
                chosen_NP = self._chosen(inside_NP, self.order_RQP[which][number_N])
                patch_NPD = torch.where(
                    chosen_NP[:, :, None], class_RD[which].to(tokens_NPD), tokens_NPD[:, 1:]
                )
                tokens_NPD = torch.cat([tokens_NPD[:, :1], patch_NPD], dim=1)
        last = LastBlock(blocks[-1], tokens_NPD, grid)  # type: ignore[index, arg-type]
        return project_tokens(visual, last.class_token_BD())

    def _chosen(self, inside_NP: Tensor, order_NP: Tensor) -> Tensor:
        """True for the patches outside the mask that are replaced: the first ones in the order."""
        count_N1 = (~inside_NP).sum(1, keepdim=True)
        wanted_N1 = (count_N1.double() * self.ratio).floor()
        rank_NP = order_NP.masked_fill(inside_NP, torch.inf).argsort(1).argsort(1)
        return (rank_NP < wanted_N1) & ~inside_NP

    def _masks(self, mask_Qhw: Tensor, padding: Padding) -> Tensor:
        """Boolean masks (Q, H, W) of the size of the image."""
        height, width = padding.image
        parts = [
            resize(part_Nhw[None], padding.padded)[0, :, :height, :width].sigmoid() > self.threshold
            for part_Nhw in mask_Qhw.split(self.chunk)
        ]
        return torch.cat(parts)


def _order(order: str, seed: int, shape: tuple[int, int, int]) -> Tensor:
    """Numbers whose order says which patches are replaced first."""
    if order == "raster":
        order_RQP = torch.arange(shape[2], dtype=torch.float32, device="cpu").expand(shape)
    else:
        generator = torch.Generator("cpu").manual_seed(seed)
        order_RQP = torch.rand(shape, generator=generator, device="cpu")
    return order_RQP.clone().to(torch.get_default_device())


def _numbers(filled_Q: Tensor) -> Tensor:
    """Numbers (N,) of the masks with a pixel. On the meta device they are all masks."""
    if filled_Q.is_meta:
        return torch.arange(filled_Q.shape[0], device=filled_Q.device)
    return filled_Q.nonzero()[:, 0]
