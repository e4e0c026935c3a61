"""Converts official FC-CLIP checkpoints (NeurIPS 2023 code, ConvNeXt-B and ConvNeXt-L)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.clip_names import CONVNEXT_TEXT_BLOCKS, convnext_clip_names
from ovss.models.conversion import Conversion, published_width, rename, split_projections
from ovss.models.mask2former_names import pixel_decoder_names, query_decoder_names

_CLIP = "backbone.clip_model"
_PIXELS = "sem_seg_head.pixel_decoder"
_QUERIES = "sem_seg_head.predictor"
_PROPOSER = "encoder.proposer"
_LEAVES = ("weight", "bias")
_DROPPED = {
    "criterion.empty_weight": "weights of the loss, which the config holds",
    "pixel_mean": "statistics of the pixels, which the encoder holds",
    "pixel_std": "statistics of the pixels, which the encoder holds",
}
CLIP_SCALE = 100.0
"""Factor from CLIP's cosines to logits in the configs."""


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections of the text tower are split into query, key and value.

    Raises:
        CheckpointError: the tensors are not those of FC-CLIP in one of its two ConvNeXt sizes.
    """
    name = f"{_CLIP}.visual.trunk.stem.0.weight"
    try:
        width = published_width(tensors, name, CONVNEXT_TEXT_BLOCKS, "rows")
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; only ConvNeXt models of FC-CLIP can be converted"
        ) from None
    table = {
        f"{_CLIP}.{name}": f"encoder.encoder.clip.{name}" for name in convnext_clip_names(width)
    }
    conversion = rename(tensors, table | proposer_table() | head_table(), _DROPPED)
    _check_scale(conversion.tensors["encoder.encoder.clip.logit_scale"])
    split_projections(conversion)
    conversion.tensors["head.void"] = conversion.tensors["head.void"].flatten()
    return conversion


def proposer_table() -> dict[str, str]:
    """Published name -> our name, for the pixel decoder and the query decoder."""
    queries = f"{_PROPOSER}.queries"
    modules = {"_mask_pooling_proj.0": "norm", "_mask_pooling_proj.1": "project"}
    modules |= {f"class_embed.layers.{i}": f"mlp.{2 * i}" for i in range(3)}
    return {
        **dict(pixel_decoder_names(_PIXELS, f"{_PROPOSER}.pixels")),
        **dict(query_decoder_names(_QUERIES, queries)),
        **{
            f"{_QUERIES}.{theirs}.{leaf}": f"{queries}.class_embedding.{part}.{leaf}"
            for theirs, part in modules.items()
            for leaf in _LEAVES
        },
    }


def head_table() -> dict[str, str]:
    """Published name -> our name, for the comparison with the categories."""
    return {f"{_QUERIES}.logit_scale": "head.log_scale", "void_embedding.weight": "head.void"}


def _check_scale(log_scale: Tensor) -> None:
    """Checks that CLIP's own factor is that of the configs."""
    scale = float(log_scale.double().exp().clamp(max=CLIP_SCALE))
    if abs(scale - CLIP_SCALE) > 0.1:
        raise CheckpointError(
            f"expected exp({_CLIP}.logit_scale) to be {CLIP_SCALE:g}, the factor of CLIP's cosines "
            f"in the configs, found {scale:.4g}"
        )
