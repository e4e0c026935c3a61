"""Second stage of LPOSS+: spreads scores over neighbouring pixels of similar colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ovss.inference import activate
from ovss.interfaces import PostProcessor
from ovss.io.option_values import check_range
from ovss.layers.chunks import rows_at_once
from ovss.ops import resize
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores

from .solve import conjugate_gradient, log_scores


@POSTPROCESSORS.register_module()
class PixelPropagation(PostProcessor):
    """Label propagation over pixels (LPOSS+, Stojnic et al., CVPR 2025, arXiv 2503.19777).

    Every pixel is linked to those of a square around it, by the similarity of their colours:

        w_ij = exp(-|Lab_i - Lab_j| / temperature),  Lab in 0..1
        (I - alpha D^-1/2 w D^-1/2) Z = Y

    Y are logits of the scores, which are resized to the canvas. Memory holds one map for each pair
    of neighbours, 84 for a radius of 6, and some for each category of a `chunk`.

    Args:
        radius: half a side of the square; 6 gives the 13 x 13 pixels of the authors' code.
        temperature: distance of colours at which a weight falls to 1 / e.
        alpha: share of the neighbours in the result.
        iterations: largest number of steps of the solver.
        tolerance: relative length of the residual at which it stops.
        chunk: categories at a time on a CPU; a GPU takes as many as its memory allows.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        radius: int = 6,
        temperature: float = 0.01,
        alpha: float = 0.95,
        iterations: int = 10,
        tolerance: float = 1e-6,
        chunk: int = 16,
    ) -> None:
        super().__init__()
        check_range("PixelPropagation", 1, radius=radius, iterations=iterations, chunk=chunk)
        check_range("PixelPropagation", 1e-6, temperature=temperature)
        check_range("PixelPropagation", 0, 0.999, alpha=alpha)
        check_range("PixelPropagation", 0, tolerance=tolerance)
        self.radius, self.temperature, self.alpha = radius, temperature, alpha
        self.iterations, self.tolerance, self.chunk = iterations, tolerance, chunk

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """Spreads the scores at the size of the canvas.

        Raises:
            ValueError: the scores do not contain the image.
        """
        if scores.canvas_B3YX is None:
            raise ValueError(
                "PixelPropagation compares the colours of the image, but these scores do not "
                "contain it. Pass the image to Scores as canvas_B3YX."
            )
        canvas_B3YX = scores.canvas_B3YX.float()
        size = (canvas_B3YX.shape[2], canvas_B3YX.shape[3])
        logits_BKYX = resize(log_scores(scores.probs_BKHW), size)
        for logits_KYX, canvas_3YX in zip(logits_BKYX, canvas_B3YX, strict=True):
            weights = self.weights(lab_colours(canvas_3YX))
            chunk = rows_at_once(self.chunk, logits_KYX, 4 * logits_KYX[0].numel())
            for part_kYX in logits_KYX.split(chunk):
                part_kYX.copy_(self._spread(part_kYX, weights))
        probs_BKYX = activate(logits_BKYX, scores.selection, "softmax")
        return replace(scores, probs_BKHW=probs_BKYX.to(scores.probs_BKHW.dtype))

    def weights(self, lab_3YX: Tensor) -> list[Tensor]:
        """Normalised weights between a pixel and its neighbour, one map for each of `_pairs`."""
        links, degree_YX = [], torch.zeros_like(lab_3YX[0])
        for here, there in self._pairs(lab_3YX.shape[1], lab_3YX.shape[2]):
            distance = (lab_3YX[here] - lab_3YX[there]).norm(dim=0)
            links.append((-distance / self.temperature).exp())
            degree_YX[here] += links[-1]
            degree_YX[there] += links[-1]
        root_YX = degree_YX.clamp(min=1e-12).rsqrt()
        pairs = self._pairs(lab_3YX.shape[1], lab_3YX.shape[2])
        return [
            link * root_YX[here] * root_YX[there]
            for link, (here, there) in zip(links, pairs, strict=True)
        ]

    def _spread(self, logits_kYX: Tensor, weights: list[Tensor]) -> Tensor:
        """Logits of some categories after the propagation."""
        height, width = logits_kYX.shape[1:]

        def apply(x_kN: Tensor) -> Tensor:
            maps_kYX = x_kN.unflatten(1, (height, width))
            out_kYX = maps_kYX.clone()
            for weight, (here, there) in zip(weights, self._pairs(height, width), strict=True):
                out_kYX[here].addcmul_(maps_kYX[there], weight, value=-self.alpha)
                out_kYX[there].addcmul_(maps_kYX[here], weight, value=-self.alpha)
            return out_kYX.flatten(1)

        target_kN, steps = logits_kYX.flatten(1), self.iterations
        result_kN = conjugate_gradient(apply, target_kN, steps, self.tolerance, dim=1)
        return ((1 - self.alpha) * result_kN).unflatten(1, (height, width))

    def _pairs(self, height: int, width: int) -> Iterator[tuple[Any, Any]]:
        """Parts of a map that hold the two pixels of each pair, for every shift in one half."""
        for down in range(self.radius + 1):
            for right in range(-self.radius if down else 1, self.radius + 1):
                if down >= height or abs(right) >= width:
                    continue
                left, shift = max(-right, 0), max(right, 0)
                here = ..., slice(0, height - down), slice(left, width - shift)
                there = ..., slice(down, height), slice(shift, width - left)
                yield here, there


def lab_colours(rgb_3YX: Tensor) -> Tensor:
    """CIELAB colours (3, Y, X) under D65, each channel scaled to 0..1.

    Args:
        rgb_3YX: sRGB in 0..255.
    """
    rgb_3YX = (rgb_3YX / 255).clamp(0, 1)
    low = rgb_3YX <= 0.04045
    linear_3YX = torch.where(low, rgb_3YX / 12.92, ((rgb_3YX + 0.055) / 1.055) ** 2.4)
    to_xyz = linear_3YX.new_tensor(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = to_xyz.sum(1)[:, None, None]
    xyz_3YX = torch.einsum("dc,cyx->dyx", to_xyz, linear_3YX) / white
    bent_3YX = torch.where(
        xyz_3YX > 0.008856, xyz_3YX.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz_3YX + 16 / 116
    )
    x_YX, y_YX, z_YX = bent_3YX
    green_YX, blue_YX = 500 * (x_YX - y_YX), 200 * (y_YX - z_YX)
    return torch.stack([(116 * y_YX - 16) / 100, (green_YX + 128) / 255, (blue_YX + 128) / 255])
