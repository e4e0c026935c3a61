"""LPOSS: spreads scores over patches that look alike to a second backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.inference import activate, window_origins
from ovss.interfaces import PostProcessor
from ovss.io.option_values import check_range
from ovss.layers.backbones import build_backbone
from ovss.layers.chunks import DEVICE_NUMBERS
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics
from ovss.layers.timm_vit import TimmViT
from ovss.ops import resize
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores

from .solve import conjugate_gradient, log_scores

ROWS = 1024
"""Patches whose similarities are computed at once."""


@dataclass(frozen=True)
class Patches:
    """Patches of all windows of an image.

    Args:
        feature_ND: unit feature vectors.
        place_N2: row and column of the centres, in pixels of the canvas.
        windows: rows and columns of each window on the canvas.
        grid: patches of a window each way.
    """

    feature_ND: Tensor
    place_N2: Tensor
    windows: tuple[tuple[slice, slice], ...]
    grid: tuple[int, int]


@POSTPROCESSORS.register_module()
class LPOSS(PostProcessor):
    """Label propagation over patches (Stojnic et al., CVPR 2025, arXiv 2503.19777).

    The patches of all windows form one graph, so predictions are consistent across windows. For the
    unit features f of the patches, which are values of a second backbone's last block,

        w_ij = max(0, f_i f_j) ** power * exp(-decay * distance in pixels)  for the nearest j of i
        (I - alpha D^-1/2 (w + w') D^-1/2) Z = Y

    Y are logits of the scores at the patches. The method propagates cosines; logits of a softmax
    differ from them by a constant of each pixel, which changes no arg max. The windows' results are
    resized to pixels, averaged, and passed through a softmax.

    Args:
        vfm: config of a `TimmViT` for `ovss.layers.backbones.build_backbone`, without `blocks`.
        window: side of a window, in pixels of the canvas.
        stride: step between windows.
        neighbours: number of the nearest neighbours of a patch.
        alpha: share of the neighbours in the result.
        power: exponent of the similarity.
        decay: factor of the distance in pixels.
        iterations: largest number of steps of the solver.
        tolerance: relative length of the residual at which it stops.
        views_per_batch: windows encoded at once.
        pixel_mean: mean of the backbone's pixels, in 0..255.
        pixel_std: standard deviation of the backbone's pixels, in 0..255.

    Raises:
        ValueError: another backbone than a `TimmViT`, or an argument out of range.
    """

    mean_311: Tensor
    std_311: Tensor

    def __init__(
        self,
        vfm: dict,
        window: int = 224,
        stride: int = 112,
        neighbours: int = 400,
        alpha: float = 0.95,
        power: float = 3.0,
        decay: float = 0.01,
        iterations: int = 10,
        tolerance: float = 1e-6,
        views_per_batch: int = 8,
        pixel_mean: Sequence[float] = (123.675, 116.28, 103.53),
        pixel_std: Sequence[float] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__()
        counts = dict(neighbours=neighbours, iterations=iterations, views_per_batch=views_per_batch)
        check_range("LPOSS", 1, window=window, **counts)
        check_range("LPOSS", 1, window, stride=stride)
        check_range("LPOSS", 0, 0.999, alpha=alpha)
        check_range("LPOSS", 0, power=power, decay=decay, tolerance=tolerance)
        self.vfm = build_vfm(vfm)
        self.window, self.stride, self.views_per_batch = window, stride, views_per_batch
        self.neighbours, self.alpha, self.power, self.decay = neighbours, alpha, power, decay
        self.iterations, self.tolerance = iterations, tolerance
        register_pixel_statistics(self, (pixel_mean, pixel_std))

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """Spreads the scores at the size of the canvas.

        Raises:
            ValueError: the scores do not contain the image.
        """
        if scores.canvas_B3YX is None:
            raise ValueError(
                "LPOSS compares patches of the image, but these scores do not contain it. "
                "Pass the image to Scores as canvas_B3YX."
            )
        canvas_B3YX = scores.canvas_B3YX.float()
        size = (canvas_B3YX.shape[2], canvas_B3YX.shape[3])
        logits_BKYX = resize(log_scores(scores.probs_BKHW), size)
        spread = [
            self._spread(logits_KYX, canvas_3YX[None])
            for logits_KYX, canvas_3YX in zip(logits_BKYX, canvas_B3YX, strict=True)
        ]
        probs_BKYX = activate(torch.stack(spread), scores.selection, "softmax")
        return replace(scores, probs_BKHW=probs_BKYX.to(scores.probs_BKHW.dtype))

    def _spread(self, logits_KYX: Tensor, canvas_13YX: Tensor) -> Tensor:
        """Logits of one image after the propagation."""
        patches = self.patches(canvas_13YX)
        target_NK = torch.cat(
            [
                resize(logits_KYX[None, :, rows, columns], patches.grid)[0].flatten(1).T
                for rows, columns in patches.windows
            ]
        )
        links_NN = self.links(patches)
        result_NK = (1 - self.alpha) * conjugate_gradient(
            lambda x_NK: x_NK - self.alpha * (links_NN @ x_NK),
            target_NK,
            self.iterations,
            self.tolerance,
            dim=0,
        )
        total_KYX, count_YX = torch.zeros_like(logits_KYX), torch.zeros_like(logits_KYX[0])
        parts = result_NK.chunk(len(patches.windows))
        for (rows, columns), part_MK in zip(patches.windows, parts, strict=True):
            size = (rows.stop - rows.start, columns.stop - columns.start)
            part_1Khw = part_MK.T.unflatten(1, patches.grid)[None]
            total_KYX[:, rows, columns] += resize(part_1Khw, size)[0]
            count_YX[rows, columns] += 1
        return total_KYX / count_YX

    def patches(self, canvas_13YX: Tensor) -> Patches:
        """Features and places of the patches of all windows."""
        height, width = canvas_13YX.shape[2:]
        sides = (min(self.window, height), min(self.window, width))
        windows = tuple(
            (slice(y, y + sides[0]), slice(x, x + sides[1]))
            for y in window_origins(height, sides[0], self.stride)
            for x in window_origins(width, sides[1], self.stride)
        )
        views_V3yx = torch.cat([canvas_13YX[:, :, rows, columns] for rows, columns in windows])
        cell = (self.vfm.patch, self.vfm.patch)
        features, grid = [], (0, 0)
        for part_V3yx in views_V3yx.split(self.views_per_batch):
            pixels = prepare_pixels(part_V3yx, self.mean_311, self.std_311, None, cell)
            value_VND, grid = last_values(self.vfm, pixels)
            features.append(F.normalize(value_VND, dim=2).flatten(0, 1))
        rows_h, columns_w = (
            (torch.arange(count, device=canvas_13YX.device) + 0.5) * (side / count)
            for count, side in zip(grid, sides, strict=True)
        )
        centre_M2 = torch.stack(torch.meshgrid(rows_h, columns_w, indexing="ij"), 2).flatten(0, 1)
        start_V2 = centre_M2.new_tensor([[rows.start, columns.start] for rows, columns in windows])
        place_N2 = (start_V2[:, None] + centre_M2).flatten(0, 1)
        return Patches(torch.cat(features), place_N2, windows, grid)

    def links(self, patches: Patches) -> Tensor:
        """Normalised weights between patches, a symmetric (N, N), sparse on a CPU."""
        feature_ND, place_N2 = patches.feature_ND, patches.place_N2
        count = feature_ND.shape[0]
        near = min(self.neighbours, count)
        columns, values = [], []
        for start in range(0, count, ROWS):
            part = slice(start, start + ROWS)
            best = (feature_ND[part] @ feature_ND.T).topk(near, dim=1)
            distance_Mn = (place_N2[part, None] - place_N2[best.indices]).norm(dim=2)
            weight_Mn = best.values.clamp(min=0) ** self.power * (-self.decay * distance_Mn).exp()
            columns.append(best.indices)
            values.append(weight_Mn)
        column_E, weight_E = torch.cat(columns).flatten(), torch.cat(values).flatten()
        row_E = torch.arange(count, device=column_E.device).repeat_interleave(near)
        weight_E = weight_E.masked_fill(row_E == column_E, 0)
        both = torch.stack([torch.cat([row_E, column_E]), torch.cat([column_E, row_E])])
        degree_N = weight_E.new_zeros(count).index_add_(0, both[0], weight_E.repeat(2))
        root_N = degree_N.clamp(min=1e-12).rsqrt()
        weight_E = weight_E.repeat(2) * root_N[both[0]] * root_N[both[1]]
        if weight_E.device.type != "cpu" and count**2 <= DEVICE_NUMBERS:
            # a GPU multiplies a matrix of this size faster than it would make a sparse one, whose
            # number of entries the host must read
            links_NN = weight_E.new_zeros(count, count)
            return links_NN.index_put_((both[0], both[1]), weight_E, accumulate=True)
        return torch.sparse_coo_tensor(
            both, weight_E, (count, count), check_invariants=False
        ).coalesce()


def build_vfm(config: dict[str, Any]) -> TimmViT:
    """Backbone that is read up to the input of its last block.

    Raises:
        ValueError: another backbone than a `TimmViT`.
    """
    options = {"type": "TimmViT", "positions": "scale_factor", **config}
    if options["type"] != "TimmViT" or "blocks" in options:
        raise ValueError("LPOSS expects vfm to be a TimmViT without `blocks`. Correct the config.")
    import timm

    with torch.device("meta"):
        depth = len(timm.create_model(options["model"]).blocks) if _is_vit(options["model"]) else 2
    vfm: TimmViT = build_backbone({**options, "blocks": (depth - 2,)})
    # Parameters that would train count as random, and those of a published backbone as known.
    return vfm.requires_grad_(options.get("pretrained") is None)


def _is_vit(model: str) -> bool:
    """True for a vision transformer; `TimmViT` refuses other models with a message."""
    import timm

    return timm.is_model(model) and model.startswith("vit_")


def last_values(vfm: TimmViT, pixels_B3HW: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Values (B, h * w, D) of the patches in the last block, all heads in a row, and the grid."""
    (tokens_BND,), grid = vfm(pixels_B3HW)
    block = vfm.trunk.blocks[-1]
    value_BND = block.attn.qkv(block.norm1(tokens_BND)).chunk(3, dim=2)[2]
    return value_BND[:, 1:], grid
