"""PAMR: scores drawn to the edges of the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import PostProcessor
from ovss.ops import resize
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores

NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))


@POSTPROCESSORS.register_module()
class PAMR(PostProcessor):
    """Pixel-adaptive mask refinement (Araslanov and Roth, CVPR 2020, arXiv 2005.08104).

    Again and again, a pixel's scores become the mean of its neighbours', weighted by how alike the
    colours are. For a picture of channels c and neighbours j in eight directions at each distance:

        weight_ij = softmax over j of  mean over c of  -|c_i - c_j| / (0.1 deviation of c around i)

    The scores become as large as the canvas of the protocol. Beyond them and the result, memory is
    one map for each neighbour and four for each category of a `chunk`.

    Args:
        iterations: 10 in the paper and in SCLIP and NACLIP.
        dilations: distances in pixels; the paper's are 1, 2, 4, 8, 12, 24, those of SCLIP's and
            NACLIP's code 8 and 16.
        max_side: a canvas with a longer side is worked on at this one; None: whatever its size.
        chunk: categories refined at once.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        iterations: int = 10,
        dilations: Sequence[int] = (8, 16),
        max_side: int | None = None,
        chunk: int = 16,
    ) -> None:
        super().__init__()
        if iterations < 0 or chunk < 1 or (max_side is not None and max_side < 1):
            raise ValueError(
                f"PAMR: iterations must be at least 0, chunk and max_side at least 1, got "
                f"{iterations}, {chunk}, {max_side}"
            )
        if not dilations or min(dilations) < 1:
            raise ValueError(f"PAMR: dilations are distances of at least 1, got {dilations!r}")
        self.iterations, self.max_side, self.chunk = iterations, max_side, chunk
        self.dilations = tuple(dilations)

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """
        Raises:
            ValueError: the scores come without the picture.
        """
        if scores.canvas_B3YX is None:
            raise ValueError(
                "PAMR looks at the picture's colours, but these scores have none: give "
                "Scores(..., canvas_B3YX=picture)"
            )
        canvas_B3HW = self._limited(scores.canvas_B3YX.float())
        size = (canvas_B3HW.shape[2], canvas_B3HW.shape[3])
        weights_BJHW = affinity(canvas_B3HW, self.dilations)
        parts = scores.probs_BKHW.split(self.chunk, dim=1)
        shape = (*scores.probs_BKHW.shape[:2], *size)
        probs_BKHW = scores.probs_BKHW.new_empty(shape)
        for refined_BkHW, part_BkHW in zip(probs_BKHW.split(self.chunk, 1), parts, strict=True):
            maps_BkHW = resize(part_BkHW.float(), size)
            for _ in range(self.iterations):
                maps_BkHW = refine(maps_BkHW, weights_BJHW, self.dilations)
            refined_BkHW.copy_(maps_BkHW)
        return replace(scores, probs_BKHW=probs_BKHW)

    def _limited(self, canvas_B3YX: Tensor) -> Tensor:
        height, width = canvas_B3YX.shape[-2:]
        shrink = 1.0 if self.max_side is None else self.max_side / max(height, width)
        if shrink >= 1:
            return canvas_B3YX
        return resize(canvas_B3YX, (max(1, round(height * shrink)), max(1, round(width * shrink))))


def affinity(image_BCHW: Tensor, dilations: Sequence[int]) -> Tensor:
    """Weight of each neighbour of each pixel, (B, J, H, W), J = 8 for each distance; sum 1.

    The deviation is that of the pixel and its eight neighbours at all distances together, each
    distance counting the pixel anew. It makes the weights the same whatever the range of values.
    """
    count = 9 * len(dilations)
    mean_BCHW = image_BCHW / 9
    for near_BCHW in neighbours(image_BCHW, dilations):
        mean_BCHW = mean_BCHW + near_BCHW / count
    square_BCHW = len(dilations) * (image_BCHW - mean_BCHW).square()
    for near_BCHW in neighbours(image_BCHW, dilations):
        square_BCHW = square_BCHW + (near_BCHW - mean_BCHW).square()
    spread_BCHW = 0.1 * (square_BCHW / (count - 1)).sqrt() + 1e-8
    like = [
        -((near_BCHW - image_BCHW).abs() / spread_BCHW).mean(1)
        for near_BCHW in neighbours(image_BCHW, dilations)
    ]
    return torch.stack(like, dim=1).softmax(1)


def refine(maps_BKHW: Tensor, weights_BJHW: Tensor, dilations: Sequence[int]) -> Tensor:
    """Every map averaged over its neighbours once, the same weights for all maps."""
    out_BKHW = torch.zeros_like(maps_BKHW)
    for index, near_BKHW in enumerate(neighbours(maps_BKHW, dilations)):
        out_BKHW.addcmul_(near_BKHW, weights_BJHW[:, index, None])
    return out_BKHW


def neighbours(x_BCHW: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """The map as its neighbours see it, one view after the other; borders are repeated."""
    height, width = x_BCHW.shape[-2:]
    for far in dilations:
        wide = F.pad(x_BCHW, (far, far, far, far), mode="replicate")
        for y, x in NEIGHBOURS:
            top, left = far * (1 + y), far * (1 + x)
            yield wide[..., top : top + height, left : left + width]
