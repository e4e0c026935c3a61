"""Converts official SED checkpoints (CVPR 2024 code, ConvNeXt-B and ConvNeXt-L)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ovss.models.clip_names import CONVNEXT_TEXT_BLOCKS, convnext_clip_names
from ovss.models.conversion import Conversion, published_width, rename, split_projections

_CLIP = "sem_seg_head.predictor.clip_model"
_ROOT = "sem_seg_head.predictor.transformer"
_STAGES = 3

_LEAVES = ("weight", "bias")
_STAGE = {
    "up": "upsample.enlarge",
    "conv.double_conv.1": "upsample.norm1",
    "conv.double_conv.4": "upsample.norm2",
    "cnext.dwconv": "space.depthwise",
    "cnext.norm": "space.norm",
    "cnext.pwconv1": "space.mlp.0",
    "cnext.pwconv2": "space.mlp.2",
    "attention.attention.q": "classes.attention.query",
    "attention.attention.k": "classes.attention.key",
    "attention.attention.v": "classes.attention.value",
    "attention.MLP.0": "classes.mlp.0",
    "attention.MLP.2": "classes.mlp.2",
    "attention.norm1": "classes.norm1",
    "attention.norm2": "classes.norm2",
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections of the text tower are split into query, key and value.

    Raises:
        CheckpointError: the tensors are not those of SED in one of its two sizes.
    """
    stem = f"{_CLIP}.visual.trunk.stem.0.weight"
    width = published_width(tensors, stem, CONVNEXT_TEXT_BLOCKS, "rows")
    table = {f"{_CLIP}.{name}": f"encoder.clip.{name}" for name in convnext_clip_names(width)}
    conversion = rename(tensors, table | decoder_table())
    split_projections(conversion)
    for index in range(_STAGES):
        name = f"decoder.stages.{index}.upsample.conv1.weight"
        guide = len(conversion.tensors[f"decoder.level_guides.{index}.bias"])
        conversion.tensors[name] = own_before_guide(conversion.tensors[name], guide)
    return conversion


def own_before_guide(weight: Tensor, guide: int) -> Tensor:
    """Reorders the input channels of a convolution whose input is a concatenation.

    Published order: map, image guidance, volume guidance. Here the image guidance comes last,
    because it is the same for all categories.

    Args:
        weight: convolution weight (out, in, kh, kw).
        guide: number of channels of each guidance.
    """
    own, image, volume = weight.split([weight.shape[1] - 2 * guide, guide, guide], dim=1)
    return torch.cat([own, volume, image], dim=1)


def decoder_table() -> dict[str, str]:
    """Published name -> our name, for all tensors outside CLIP."""
    return dict(_decoder_names())


def _decoder_names() -> Iterator[tuple[str, str]]:
    modules = {"conv1": "embed", "head": "head"}
    for index in range(_STAGES):
        stage, ours = f"decoder{index + 1}", f"stages.{index}"
        modules[f"decoder_guidance_projection.{index}.0"] = f"level_guides.{index}"
        modules[f"decoder_corr_guidance_projection.{index}.0"] = f"cost_guides.{index}"
        modules[f"head{index}"] = f"aux_heads.{index}"
        modules |= {f"{stage}.{name}": f"{ours}.{part}" for name, part in _STAGE.items()}
        yield f"{_ROOT}.{stage}.cnext.gamma", f"decoder.{ours}.space.gamma"
        for name, part in (("0", "conv1"), ("3", "conv2")):
            yield (
                f"{_ROOT}.{stage}.conv.double_conv.{name}.weight",
                f"decoder.{ours}.upsample.{part}.weight",
            )
    for name, part in modules.items():
        for leaf in _LEAVES:
            yield f"{_ROOT}.{name}.{leaf}", f"decoder.{part}.{leaf}"
