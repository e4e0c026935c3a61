"""PAMR: refines scores so that they follow the edges of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import PostProcessor
from ovss.layers.chunks import rows_at_once
from ovss.ops import resize
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores

NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))


@POSTPROCESSORS.register_module()
class PAMR(PostProcessor):
    """Pixel-adaptive mask refinement (Araslanov and Roth, CVPR 2020, arXiv 2005.08104).

    Each iteration replaces a pixel's scores by the mean of its neighbours' scores, weighted by the
    similarity of their colours. For channels c, and neighbours j in eight directions at each
    distance:

        weight_ij = softmax over j of  mean over c of  -|c_i - c_j| / (0.1 deviation of c around i)

    The scores are resized to the canvas of the protocol. In addition to them and the result, memory
    holds one map for each neighbour and four for each category of a `chunk`.

    Args:
        iterations: number of iterations, 10 in the paper and in SCLIP and NACLIP.
        dilations: distances of the neighbours in pixels. The paper uses 1, 2, 4, 8, 12 and 24; the
            code of SCLIP and NACLIP uses 8 and 16.
        max_side: longest side of the canvas; a larger canvas is shrunk to it. None sets no limit.
        chunk: categories refined at a time on a CPU; a GPU takes as many as fit.

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
                f"PAMR expects iterations of at least 0 and chunk and max_side of at least 1, but "
                f"got iterations={iterations}, chunk={chunk}, max_side={max_side}. "
                "Raise the values that are too small."
            )
        if not dilations or min(dilations) < 1:
            raise ValueError(
                f"PAMR expects dilations to be distances of at least 1 pixel, but got "
                f"{dilations!r}. Give at least one positive distance."
            )
        self.iterations, self.max_side, self.chunk = iterations, max_side, chunk
        self.dilations = tuple(dilations)

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """Refines the scores at the size of the canvas.

        Raises:
            ValueError: the scores do not contain the image.
        """
        if scores.canvas_B3YX is None:
            raise ValueError(
                "PAMR compares the colours of the image, but these scores do not contain it. "
                "Pass the image to Scores as canvas_B3YX."
            )
        canvas_B3HW = self._working_canvas(scores.canvas_B3YX.float())
        size = (canvas_B3HW.shape[2], canvas_B3HW.shape[3])
        weights_BJHW = affinity(canvas_B3HW, self.dilations)
        chunk = rows_at_once(self.chunk, canvas_B3HW, 4 * canvas_B3HW[:, 0].numel())
        parts = scores.probs_BKHW.split(chunk, dim=1)
        shape = (*scores.probs_BKHW.shape[:2], *size)
        probs_BKHW = scores.probs_BKHW.new_empty(shape)
        for refined_BkHW, part_BkHW in zip(probs_BKHW.split(chunk, 1), parts, strict=True):
            maps_BkHW = resize(part_BkHW.float(), size)
            for _ in range(self.iterations):
                maps_BkHW = refine(maps_BkHW, weights_BJHW, self.dilations)
            refined_BkHW.copy_(maps_BkHW)
        return replace(scores, probs_BKHW=probs_BKHW)

    def _working_canvas(self, canvas_B3YX: Tensor) -> Tensor:
        """Shrinks a canvas whose longer side exceeds `max_side`."""
        height, width = canvas_B3YX.shape[-2:]
        shrink = 1.0 if self.max_side is None else self.max_side / max(height, width)
        if shrink >= 1:
            return canvas_B3YX
        return resize(canvas_B3YX, (max(1, round(height * shrink)), max(1, round(width * shrink))))


def affinity(image_BCHW: Tensor, dilations: Sequence[int]) -> Tensor:
    """Weights (B, J, H, W) of each pixel's neighbours, 8 for each distance, with sum 1.

    The deviation is computed over the pixel and its neighbours at all distances together, where the
    pixel itself counts once for each distance. Dividing by it makes the weights independent of the
    range of values.
    """
    count = 9 * len(dilations)
    # The pixel itself counts len(dilations) times of 9 * len(dilations), one ninth of the mean.
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
    """Averages every map over its neighbours once, with the same weights for all maps."""
    out_BKHW = torch.zeros_like(maps_BKHW)
    for index, near_BKHW in enumerate(neighbours(maps_BKHW, dilations)):
        out_BKHW.addcmul_(near_BKHW, weights_BJHW[:, index, None])
    return out_BKHW


def neighbours(x_BCHW: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Yields the map shifted to each neighbour in turn, with repeated borders."""
    height, width = x_BCHW.shape[-2:]
    for far in dilations:
        wide = F.pad(x_BCHW, (far, far, far, far), mode="replicate")
        for y, x in NEIGHBOURS:
            top, left = far * (1 + y), far * (1 + x)
            yield wide[..., top : top + height, left : left + width]
