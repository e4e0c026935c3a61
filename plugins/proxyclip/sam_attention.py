"""Weights between cells of a canvas from the last block of SAM's image encoder (Trident)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.encoders.vision_model import VisionModel
from ovss.layers.pixels import normalize_pixels

HIGHEST = 0.9
"""Largest threshold of the cosines."""

NEGATIVE = 0.6
"""Threshold in the place of a negative one."""


def sam_weights(sam: VisionModel, canvas_3HW: Tensor, factor: float, keep: bool) -> Tensor:
    """Weights between the cells of a canvas (h, w, h * w); each row sums to 1.

    The canvas is enlarged until its longer side is that of SAM's input, and padded at the bottom
    and on the right. Cells of the padding are left out of the weights.

    Args:
        sam: SAM's image encoder with a square input.
        canvas_3HW: RGB in 0..255.
        factor: factor of the mean cosine, see `merged_attention`.
        keep: True to keep negative thresholds.
    """
    assert sam.size is not None
    side, patch = sam.size[0], sam.patch[0]
    scale = side / max(canvas_3HW.shape[1:])
    height, width = (max(patch, round(scale * length)) for length in canvas_3HW.shape[1:])
    rows, columns = (max(1, round(length / patch)) for length in (height, width))
    pixels_13HW = F.interpolate(canvas_3HW[None], size=(height, width), mode="bilinear")
    pixels_13HW = normalize_pixels(pixels_13HW, sam.mean_311, sam.std_311)
    pixels_13HW = F.pad(pixels_13HW, (0, side - width, 0, side - height))
    tokens_1hwD = _last_input(sam.trunk, pixels_13HW)
    place_hw = torch.arange(tokens_1hwD.shape[1:3].numel(), device=tokens_1hwD.device)
    valid_N = place_hw.view(tokens_1hwD.shape[1:3])[:rows, :columns].flatten()
    attention = sam.trunk.blocks[-1].attn
    query_HNd, key_HNd, value_HNd = _heads(attention, sam.trunk.blocks[-1].norm1(tokens_1hwD))
    grid = (tokens_1hwD.shape[1], tokens_1hwD.shape[2])
    heads = _attention(attention, query_HNd, key_HNd, valid_N, grid)
    weights_NN = merged_attention(heads, value_HNd[:, valid_N], factor, keep)
    return weights_NN.unflatten(0, (rows, columns))


def merged_attention(
    heads: Iterable[Tensor], value_HNd: Tensor, factor: float, keep: bool
) -> Tensor:
    """Mean over heads of attention between cells with similar values (N, N), rows of sum 1.

    With S the cosines of the values of a head, and theta = factor * mean of S over heads and keys,
    at most `HIGHEST`, a weight counts where S exceeds theta of its row.

    Args:
        heads: attention weights (N, N) of each head.
        value_HNd: values.
        factor: factor of the mean; 1.2 published, 3.0 for Cityscapes.
        keep: True to keep negative thresholds; otherwise they become `NEGATIVE`, as published for
            Cityscapes and ADE20K.
    """
    unit_HNd = F.normalize(value_HNd, dim=2)
    mean_N = torch.einsum("hnd,hd->n", unit_HNd, unit_HNd.mean(1)) / unit_HNd.shape[0]
    theta_N = (factor * mean_N).clamp(max=HIGHEST)
    if not keep:
        theta_N = theta_N.masked_fill(theta_N < 0, NEGATIVE)
    total_NN = value_HNd.new_zeros(theta_N.shape[0], theta_N.shape[0])
    for weights_NN, unit_Nd in zip(heads, unit_HNd, strict=True):
        total_NN += weights_NN.masked_fill(unit_Nd @ unit_Nd.T <= theta_N[:, None], 0.0)
    return total_NN / total_NN.sum(1, keepdim=True).clamp(min=1e-12)


def _last_input(trunk: Any, pixels_13HW: Tensor) -> Tensor:
    """Input (1, h, w, D) of the last block."""
    from timm.layers import resample_abs_pos_embed_nhwc

    tokens_1hwD = trunk.patch_embed(pixels_13HW)
    if trunk.pos_embed is not None:
        size = list(tokens_1hwD.shape[1:3])
        tokens_1hwD = tokens_1hwD + resample_abs_pos_embed_nhwc(trunk.pos_embed, size)
    tokens_1hwD = trunk.norm_pre(tokens_1hwD)
    for block in trunk.blocks[:-1]:
        tokens_1hwD = block(tokens_1hwD)
    return tokens_1hwD


def _heads(attention: Any, normed_1hwD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (heads, N, d)."""
    joined_N3Hd = attention.qkv(normed_1hwD[0].flatten(0, 1)).unflatten(
        1, (3, attention.num_heads, -1)
    )
    query_HNd, key_HNd, value_HNd = joined_N3Hd.permute(1, 2, 0, 3)
    return attention.q_norm(query_HNd), attention.k_norm(key_HNd), value_HNd


def _attention(
    attention: Any, query_HNd: Tensor, key_HNd: Tensor, valid_N: Tensor, grid: tuple[int, int]
) -> Iterator[Tensor]:
    """Attention weights (N, N) between valid cells, head by head; the softmax sees all cells."""
    from timm.models.vision_transformer_sam import get_decomposed_rel_pos_bias

    for query_Nd, key_Nd in zip(query_HNd, key_HNd, strict=True):
        logit_NM = attention.scale * query_Nd[valid_N] @ key_Nd.T
        if attention.use_rel_pos:
            bias_1MM = get_decomposed_rel_pos_bias(
                query_Nd[None], attention.rel_pos_h, attention.rel_pos_w, grid, grid
            )
            logit_NM = logit_NM + bias_1MM[0, valid_N]
        yield logit_NM.softmax(1)[:, valid_N]
