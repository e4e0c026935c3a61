"""Regions of an image through a CLIP of their own, with tokens of the whole image (SCAN)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.encoders.last_block import LastBlock
from ovss.io.excerpts import excerpt
from ovss.layers.patches import embed_patches
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
        batch, queries = mask_BQhw.shape[:2]
        embeds, filled = [], []
        for i in range(batch):
            mask_QHW = self._masks(mask_BQhw[i], padding)
            filled.append(mask_QHW.flatten(1).any(1))
            pixels_3HW = (image_B3HW[i] - mean_311) / std_311
            class_RD = torch.stack([class_BD[i] for class_BD in class_RBD]) if class_RBD else None
            embed_QC = pixels_3HW.new_zeros(queries, self.visual.output_dim)
            boxes = _boxes(mask_QHW)
            for start in range(0, len(boxes), self.chunk):
                some = boxes[start : start + self.chunk]
                number_N = torch.tensor([box[0] for box in some], device=mask_QHW.device)
                cut = list(_cut(pixels_3HW, mask_QHW, some))
                crop_N3SS = torch.stack([self._sized(crop, "bicubic") for crop, _ in cut])
                inside_N1SS = torch.stack([self._sized(mask, "nearest") for _, mask in cut])
                embed_NC = self.embed(crop_N3SS, inside_N1SS, class_RD, number_N)
                embed_QC[number_N] = embed_NC.to(embed_QC)
            embeds.append(embed_QC)
        return torch.stack(embeds), torch.stack(filled)

    def embed(
        self, crop_N3SS: Tensor, inside_N1SS: Tensor, class_RD: Tensor | None, number_N: Tensor
    ) -> Tensor:
        """Embeddings (N, C) of crops of one image, not normalised.

        Args:
            crop_N3SS: normalised pixels of the size of pre-training.
            inside_N1SS: 1 for pixels of the mask, 0 for others.
            class_RD: class token of the whole image after each of `replaced`.
            number_N: proposal of each crop.
        """
        visual = self.visual
        tokens_NPD, grid = embed_patches(visual, crop_N3SS)
        inside_NP = F.max_pool2d(inside_N1SS, visual.patch_size).flatten(1) > 0
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

    def _sized(self, map_cHW: Tensor, mode: str) -> Tensor:
        """Map resized to the size of pre-training."""
        return F.interpolate(map_cHW[None], size=self.size, mode=mode)[0]


def _order(order: str, seed: int, shape: tuple[int, int, int]) -> Tensor:
    """Numbers whose order says which patches are replaced first."""
    if order == "raster":
        order_RQP = torch.arange(shape[2], dtype=torch.float32, device="cpu").expand(shape)
    else:
        generator = torch.Generator("cpu").manual_seed(seed)
        order_RQP = torch.rand(shape, generator=generator, device="cpu")
    return order_RQP.clone().to(torch.get_default_device())


Box = tuple[int, int, int, int, int]
"""Number of a mask; top, bottom, left and right of its box, the ends exclusive."""


def _boxes(mask_QHW: Tensor) -> list[Box]:
    """Boxes of the masks that have a pixel. On the meta device every mask is the whole image."""
    queries, height, width = mask_QHW.shape
    if mask_QHW.is_meta:
        return [(i, 0, height, 0, width) for i in range(queries)]
    sides = []
    for dim in (2, 1):
        has_QL = mask_QHW.any(dim).int()
        last_Q = has_QL.shape[1] - has_QL.flip(1).argmax(1)
        sides += [has_QL.argmax(1), torch.where(has_QL.any(1), last_Q, 0)]
    found = torch.stack(sides, dim=1).tolist()
    return [(number, *box) for number, box in enumerate(found) if box[1]]


def _cut(
    pixels_3HW: Tensor, mask_QHW: Tensor, boxes: Sequence[Box]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the pixels of each box, the mean colour outside the mask; and the mask (1, h, w)."""
    for number, top, bottom, left, right in boxes:
        inside_1hw = mask_QHW[number, top:bottom, left:right][None]
        crop_3hw = pixels_3HW[:, top:bottom, left:right] * inside_1hw
        yield crop_3hw, inside_1hw.to(crop_3hw.dtype)
