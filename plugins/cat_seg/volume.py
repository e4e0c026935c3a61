"""Parts of decoders that aggregate a cost volume: embedding, guidance and upsampling.

A decoder adds them to itself with `add_guidance` and `add_upsampling`, and decodes a volume with
`decode_volume`. In between it has aggregation layers of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.io.option_values import check_range
from ovss.layers.guided import map_chunks
from ovss.layers.linear import Linear
from ovss.layers.upsample import GuidedUpsample, LevelGuide
from ovss.layers.wide_convolution import WideConv2d
from ovss.structures import Alignment, Masks


@dataclass(frozen=True)
class EmbeddedVolume:
    """Embedded volume of one image with its guidance.

    Args:
        x_Khwc: feature map of each valid category.
        appearance_hwc: guidance by the image.
        text_Kc: guidance by the text of each category.
    """

    x_Khwc: Tensor
    appearance_hwc: Tensor
    text_Kc: Tensor

    def with_maps(self, x_Khwc: Tensor) -> EmbeddedVolume:
        """Volume with other feature maps and the same guidance."""
        return replace(self, x_Khwc=x_Khwc)


Aggregate = Callable[[list[EmbeddedVolume]], list[Tensor]]
"""Function from the volumes of some images to their aggregated feature maps."""


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
    decoder.head = nn.Conv2d(dim, 1, 3, padding=1)


def decode_volume(
    decoder: Any, aligned: Alignment, aggregate: Aggregate, together: bool = False
) -> Masks:
    """Decodes the cost volume of a batch at four times the resolution of the feature grid.

    Args:
        decoder: decoder with the parts of `add_guidance` and `add_upsampling`, and `chunk`.
        aligned: cost volume.
        aggregate: the decoder's aggregation layers.
        together: True to aggregate all images of the batch in one call, for layers with statistics
            of the batch; False to decode one image after the other, which needs less memory.
    """
    image, selection = aligned.features, aligned.selection
    appearance_Bhwc = F.relu(decoder.appearance(image.dense_BChw)).permute(0, 2, 3, 1)
    width = image.dense_BChw.shape[-1]
    offsets = [
        stage.offset(guide(level_Bchw, level_Bchw.shape[-1] // width))
        for stage, guide, level_Bchw in zip(decoder.stages, decoder.guides, image.levels)
    ]
    count_B = list(selection.counts)
    cost_images = selection.pack(aligned.cost_BKDhw).split(count_B)
    text_BKPC = selection.gather(aligned.text.embeds_TPC)
    text_images = selection.pack(_text_guidance(decoder, text_BKPC)).split(count_B)
    embedded = (
        EmbeddedVolume(_embed(decoder, cost_KDhw), appearance_hwc, text_Kc)
        for cost_KDhw, appearance_hwc, text_Kc in zip(cost_images, appearance_Bhwc, text_images)
    )
    if together:
        aggregated = iter(aggregate(list(embedded)))
    else:
        aggregated = (aggregate([volume])[0] for volume in embedded)
    logits_N = torch.cat(
        [
            _upsampled(decoder, x_Khwc, offsets_chw)
            for x_Khwc, *offsets_chw in zip(aggregated, *offsets)
        ]
    )
    return Masks(selection.unpack(logits_N), selection)


def _text_guidance(decoder: Any, text_BKPC: Tensor) -> Tensor:
    mean_BKC = F.normalize(text_BKPC.mean(2), dim=-1)
    return F.relu(decoder.text(mean_BKC))


def _embed(decoder: Any, cost_KDhw: Tensor) -> Tensor:
    def embed(part_NDhw: Tensor) -> Tensor:
        return decoder.embed(part_NDhw).permute(0, 2, 3, 1).contiguous()

    return map_chunks(embed, cost_KDhw, decoder.chunk)


def _upsampled(decoder: Any, x_Khwc: Tensor, offsets_chw: list[Tensor]) -> Tensor:
    """Masks of one image's valid categories: (K, h, w, c) -> (K, 4h, 4w)."""

    def masks(part_Nhwc: Tensor) -> Tensor:
        part_Nchw = part_Nhwc.permute(0, 3, 1, 2)
        for stage, offset_chw in zip(decoder.stages, offsets_chw):
            part_Nchw = stage(part_Nchw, offset_chw)
        return decoder.head(part_Nchw).squeeze(1)

    return map_chunks(masks, x_Khwc, decoder.chunk)
