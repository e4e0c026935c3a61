"""Converts official EBSeg checkpoints (CVPR 2024 code, ViT-B/16 and ViT-L/14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.clip_names import split_image_tower_names, text_tower_names
from ovss.models.conversion import (
    Conversion,
    check_logit_scale,
    published_width,
    rename,
    split_projections,
)
from ovss.models.mask2former_names import pixel_decoder_names, query_decoder_names

from .sam import sam_name

_FIRST, _SECOND, _TEXT = "clip_visual_extractor", "clip_rec_head", "ov_classifier"
_HEAD = "sem_seg_head"
_BLOCKS = {768: (2, 9, 12), 1024: (4, 18, 24)}
"""Width of the image tower -> first block with the names of CLIP Surgery, blocks before the region
tokens, and all blocks."""
_SAM_BLOCKS, _TAPS = 12, 3

_LEAVES = ("weight", "bias")
_SAM_BLOCK = [
    "attn.rel_pos_h",
    "attn.rel_pos_w",
    *(
        f"{part}.{leaf}"
        for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2")
        for leaf in _LEAVES
    ),
]
_TWICE = "the second copy of a tensor of clip_rec_head"
_DROPS = {
    f"{_TEXT}.attn_mask": "the causal mask follows from the architecture",
    "criterion.empty_weight": "the weights of the loss are options of the criterion",
    **{f"{_FIRST}.{name}": _TWICE for name in ("proj", "ln_post.weight", "ln_post.bias")},
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections of CLIP are split into query, key and value, and some convolutions of 1 x 1
    become matrices.

    Raises:
        CheckpointError: the tensors are not those of EBSeg in one of its two sizes, or their factor
            from cosines to logits is not CLIP's 100.
    """
    width = published_width(tensors, f"{_FIRST}.class_embedding", _BLOCKS)
    check_logit_scale(tensors, f"{_TEXT}.logit_scale")
    conversion = rename(tensors, official_names(*_BLOCKS[width]), _DROPS)
    split_projections(conversion)
    for ours, value in conversion.tensors.items():
        if ours == "head.void" or ours.startswith("encoder.fusion.projections"):
            conversion.tensors[ours] = value.flatten(1) if value.ndim == 4 else value.flatten()
    return conversion


def official_names(surgery: int, split: int, blocks: int) -> dict[str, str]:
    """Published name -> our name, before fused projections are split.

    Args:
        surgery: 0-based first block of the image tower with the names of CLIP Surgery.
        split: number of its blocks before the region tokens.
        blocks: number of all its blocks.
    """
    return dict([*_clip_names(surgery, split, blocks), *_sam_names(), *_head_names()])


def _clip_names(surgery: int, split: int, blocks: int) -> Iterator[tuple[str, str]]:
    for theirs, ours in split_image_tower_names(_FIRST, _SECOND, split, blocks, surgery):
        yield theirs, f"encoder.clip.visual.{ours}"
    yield from ((f"{_TEXT}.{name}", f"encoder.clip.{name}") for name in text_tower_names())
    yield f"{_TEXT}.bg_embed", "head.void"


def _sam_names() -> Iterator[tuple[str, str]]:
    names = ["pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]
    names += [f"blocks.{i}.{part}" for i in range(_SAM_BLOCKS) for part in _SAM_BLOCK]
    yield from ((f"backbone.{name}", f"encoder.sam.trunk.{sam_name(name)}") for name in names)


def _head_names() -> Iterator[tuple[str, str]]:
    predictor, queries = f"{_HEAD}.predictor", "encoder.queries"
    yield from pixel_decoder_names(f"{_HEAD}.pixel_decoder", "encoder.pixels")
    yield from query_decoder_names(predictor, queries)
    embedding = f"{queries}.class_embedding"
    modules = {
        f"{predictor}.pool_proj.0": f"{embedding}.pooled.norm",
        f"{predictor}.pool_proj.1": f"{embedding}.pooled.project",
        f"{predictor}.attn_proj.layers.0": "encoder.bias.hidden.0",
        f"{predictor}.attn_proj.layers.1": "encoder.bias.hidden.2",
        f"{predictor}.attn_proj.layers.2": "encoder.bias.out",
        f"{predictor}.bias_scaling": "encoder.bias.scale",
    }
    for index in range(3):
        modules[f"{predictor}.mask_embed1.layers.{index}"] = f"{embedding}.pooled.mlp.{2 * index}"
    for index in range(_TAPS):
        layer = f"{_HEAD}.clip_fusion_layers.{index}"
        modules[f"{layer}.0"] = f"encoder.fusion.norms.{index}"
        modules[f"{layer}.1"] = f"encoder.fusion.projections.{index}"
    for theirs, ours in modules.items():
        yield from ((f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in _LEAVES)
    yield f"{predictor}.logit_scale", f"{embedding}.scale"
