"""Parts of decoders that aggregate a cost volume: embedding, guidance and upsampling.

A decoder adds them to itself with `add_guidance` and `add_upsampling`, and decodes a volume with
`decode_volume`. In between it has aggregation layers of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.io.option_values import check_range
from ovss.kernels.portions import Portions
from ovss.layers.chunks import image_groups, rows_at_once
from ovss.layers.convolution import ConvToOne, WideConv2d
from ovss.layers.guided import map_chunks, map_rows
from ovss.layers.linear import Linear
from ovss.layers.upsample import GuidedUpsample, LevelGuide
from ovss.structures import Alignment, Masks, Selection

_EMBEDDING = Portions("volume_embedding")
_UPSAMPLING = Portions("volume_upsampling")


@dataclass(frozen=True)
class EmbeddedVolume:
    """Embedded volume of one image, or of several ones after each other, with its guidance.

    Args:
        x_Khwc: feature map of each valid category.
        appearance_hwc: guidance by the image; (B, h, w, c) for several images.
        text_Kc: guidance by the text of each category.
        image_K: image of each map; None for one image.
        counts: number of maps of each image; empty for one image.
    """

    x_Khwc: Tensor
    appearance_hwc: Tensor
    text_Kc: Tensor
    image_K: Tensor | None = None
    counts: tuple[int, ...] = ()

    def with_maps(self, x_Khwc: Tensor) -> EmbeddedVolume:
        """Volume with other feature maps and the same guidance."""
        return replace(self, x_Khwc=x_Khwc)


Aggregate = Callable[[list[EmbeddedVolume]], list[Tensor]]
"""Function from the volumes of some groups of images to their aggregated feature maps."""


def add_guidance(
    decoder: Any,
    joint_dim: int,
    level_dims: Sequence[int],
    cost_dim: int,
    dim: int,
    level_middle: Sequence[int],
    level_guides: Sequence[int],
    guide_dim: int | None = None,
) -> None:
    """Adds the embedding of the volume, and the guidance by image, text and levels.

    Args:
        decoder: decoder in its `__init__`.
        joint_dim, level_dims, cost_dim, dim, level_middle, level_guides: see `CATSegDecoder`.
        guide_dim: channels of the guidance by image and text; None means `dim`.

    Raises:
        ValueError: `level_dims` does not have two entries, or a number of channels is below 1.
    """
    name = type(decoder).__name__
    guide_dim = dim if guide_dim is None else guide_dim
    check_range(name, 1, joint_dim=joint_dim, cost_dim=cost_dim, dim=dim, guide_dim=guide_dim)
    if len(level_dims) != 2:
        raise ValueError(
            f"{name} expects two tapped levels, but level_dims is {level_dims}. "
            "Set level_dims to the channels of two levels of the encoder."
        )
    decoder.cost_dim, decoder.joint_dim = cost_dim, joint_dim
    decoder.level_dims = tuple(level_dims)
    decoder.embed = WideConv2d(cost_dim, dim, 7)
    decoder.appearance = nn.Conv2d(joint_dim, guide_dim, 3, padding=1)
    decoder.text = Linear(joint_dim, guide_dim)
    decoder.guides = nn.ModuleList(
        LevelGuide(*sizes) for sizes in zip(level_dims, (2, 4), level_middle, level_guides)
    )


def add_upsampling(
    decoder: Any,
    dim: int,
    level_guides: Sequence[int],
    stage_dims: Sequence[int],
    kept: Sequence[int],
) -> None:
    """Adds the guided upsampling and the last convolution.

    Args:
        decoder: decoder in its `__init__`.
        dim, level_guides, stage_dims: see `CATSegDecoder`.
        kept: channels of the maps in each stage after enlarging.
    """
    check_range(type(decoder).__name__, 1, stage_dims=min(stage_dims), kept=min(kept))
    decoder.stages = nn.ModuleList()
    for own, guide, out in zip(kept, level_guides, stage_dims):
        decoder.stages.append(GuidedUpsample(dim, own, guide, out))
        dim = out
    decoder.head = ConvToOne(dim)


def decode_volume(
    decoder: Any, aligned: Alignment, aggregate: Aggregate, together: bool = False
) -> Masks:
    """Decodes the cost volume of a batch at four times the resolution of the feature grid.

    Args:
        decoder: decoder with the parts of `add_guidance` and `add_upsampling`, and `chunk`.
        aligned: cost volume.
        aggregate: the decoder's aggregation layers.
        together: True to aggregate all images of the batch in one call, for layers with statistics
            of the batch; False to decode one group of images after the other, which needs less
            memory. On a CPU a group is one image, on other devices as many as fit.
    """
    image, selection = aligned.features, aligned.selection
    appearance_Bhwc = F.relu(decoder.appearance(image.dense_BChw)).permute(0, 2, 3, 1)
    width = image.dense_BChw.shape[-1]
    offsets = [
        stage.offset(guide(level_Bchw, level_Bchw.shape[-1] // width))
        for stage, guide, level_Bchw in zip(decoder.stages, decoder.guides, image.levels)
    ]
    cost_NDhw = selection.pack(aligned.cost_BKDhw)
    text_BKC = selection.gather(F.normalize(aligned.text.trained_mean_TC, dim=1))
    text_Nc = selection.pack(F.relu(decoder.text(text_BKC)))
    cells = cost_NDhw.shape[-2] * cost_NDhw.shape[-1]
    groups = list(image_groups(selection, cost_NDhw, cells * decoder.embed.out_channels))
    rows = _rows(selection, groups)
    embedded = (
        _embedded(decoder, selection, images, part, cost_NDhw[part], appearance_Bhwc, text_Nc[part])
        for images, part in zip(groups, rows, strict=True)
    )
    if together:
        volumes = list(embedded)
        aggregated = zip(volumes, aggregate(volumes), strict=True)
    else:
        aggregated = ((volume, aggregate([volume])[0]) for volume in embedded)
    logits_N = torch.cat(
        [
            _upsampled(decoder, x_Khwc, [each[images] for each in offsets], volume.image_K)
            for images, (volume, x_Khwc) in zip(groups, aggregated, strict=True)
        ]
    )
    return Masks(selection.unpack(logits_N), selection)


def _rows(selection: Selection, groups: list[slice]) -> list[slice]:
    """Rows of the packed pairs that belong to each group of images."""
    ends = [0, *accumulate(selection.counts)]
    return [slice(ends[group.start], ends[group.stop]) for group in groups]


def _embedded(
    decoder: Any,
    selection: Selection,
    images: slice,
    rows: slice,
    cost_KDhw: Tensor,
    appearance_Bhwc: Tensor,
    text_Kc: Tensor,
) -> EmbeddedVolume:
    """Embedded volume of a group of images."""
    x_Khwc = _embed(decoder, cost_KDhw)
    if images.stop - images.start == 1:
        return EmbeddedVolume(x_Khwc, appearance_Bhwc[images.start], text_Kc)
    image_K = selection.image_N[rows] - images.start
    counts = selection.counts[images]
    return EmbeddedVolume(x_Khwc, appearance_Bhwc[images], text_Kc, image_K, counts)


def _embed(decoder: Any, cost_KDhw: Tensor) -> Tensor:
    def embed(part_NDhw: Tensor) -> Tensor:
        return decoder.embed(part_NDhw).permute(0, 2, 3, 1).contiguous()

    row = decoder.embed.out_channels * cost_KDhw.shape[-2] * cost_KDhw.shape[-1]
    return map_chunks(
        embed, cost_KDhw, rows_at_once(decoder.chunk, cost_KDhw, row), portions=_EMBEDDING
    )


def _upsampled(
    decoder: Any, x_Khwc: Tensor, offsets_Bchw: list[Tensor], image_K: Tensor | None
) -> Tensor:
    """Masks of the valid categories of some images: (K, h, w, c) -> (K, 4h, 4w)."""

    def masks(part_Nhwc: Tensor, image_N: Tensor | None) -> Tensor:
        part_Nchw = part_Nhwc.permute(0, 3, 1, 2)
        for stage, offset_Bchw in zip(decoder.stages, offsets_Bchw):
            offset = offset_Bchw[0] if image_N is None else offset_Bchw[image_N]
            part_Nchw = stage(part_Nchw, offset)
        return decoder.head(part_Nchw).squeeze(1)

    widths = (stage.conv1.out_channels << (2 * i) for i, stage in enumerate(decoder.stages, 1))
    row = x_Khwc.shape[1] * x_Khwc.shape[2] * max(widths)
    return map_rows(masks, x_Khwc, image_K, rows_at_once(decoder.chunk, x_Khwc, row), _UPSAMPLING)
