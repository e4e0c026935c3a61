"""Converts official SAN checkpoints (CVPR 2023 code, ViT-B/16 and ViT-L/14)."""

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

_FIRST, _SECOND = "clip_visual_extractor", "clip_rec_head"
_SIDE, _TEXT = "side_adapter_network", "ov_classifier"
_BLOCKS = {768: (9, 12), 1024: (18, 24)}
"""Width of the image tower -> blocks before the region tokens, and all blocks."""
_SIDE_BLOCKS, _FUSIONS, _LAYERS = 8, 4, 3

_LEAVES = ("weight", "bias")
_SIDE_BLOCK = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.qkv.weight": "attention.in_proj_weight",
    "attn.qkv.bias": "attention.in_proj_bias",
    "attn.proj.weight": "attention.out_proj.weight",
    "attn.proj.bias": "attention.out_proj.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.weight": "expand.weight",
    "mlp.fc1.bias": "expand.bias",
    "mlp.fc2.weight": "contract.weight",
    "mlp.fc2.bias": "contract.bias",
}
_ONE_ROW = ("encoder.side.quer", "encoder.side.positions", "head.void")
"""Start of our names whose published tensors have a first axis of length 1."""
_DROPS = {
    f"{_TEXT}.attn_mask": "the causal mask follows from the architecture",
    "criterion.empty_weight": "the weights of the loss are options of the criterion",
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections are split into query, key and value, and convolutions of 1 x 1 become
    matrices.

    Raises:
        CheckpointError: the tensors are not those of SAN in one of its two sizes, or their factor
            from cosines to logits is not CLIP's 100.
    """
    width = published_width(tensors, f"{_FIRST}.class_embedding", _BLOCKS)
    check_logit_scale(tensors, f"{_TEXT}.logit_scale")
    conversion = rename(tensors, official_table(*_BLOCKS[width]), _DROPS)
    split_projections(conversion, ("attn", "attention"))
    for ours, value in conversion.tensors.items():
        if ours.startswith(_ONE_ROW):
            conversion.tensors[ours] = value.squeeze(0)
        elif value.ndim == 4 and value.shape[2:] == (1, 1):
            conversion.tensors[ours] = value.flatten(1)
    return conversion


def official_table(split: int, blocks: int) -> dict[str, str]:
    """Published name -> our name, before fused projections are split.

    Args:
        split: number of blocks of the image tower before the region tokens.
        blocks: number of all its blocks.
    """
    return dict([*_clip_names(split, blocks), *_side_names()])


def _clip_names(split: int, blocks: int) -> Iterator[tuple[str, str]]:
    for theirs, ours in split_image_tower_names(_FIRST, _SECOND, split, blocks):
        yield theirs, f"encoder.clip.visual.{ours}"
    yield from ((f"{_TEXT}.{name}", f"encoder.clip.{name}") for name in text_tower_names())
    yield f"{_TEXT}.bg_embed", "head.void"


def _side_names() -> Iterator[tuple[str, str]]:
    side = "encoder.side"
    yield f"{_SIDE}.query_embed", f"{side}.queries"
    yield f"{_SIDE}.query_pos_embed", f"{side}.query_positions"
    yield f"{_SIDE}.vit_model.pos_embed", f"{side}.positions"
    for index in range(_SIDE_BLOCKS):
        for part, ours in _SIDE_BLOCK.items():
            yield f"{_SIDE}.vit_model.blocks.{index}.{part}", f"{side}.blocks.{index}.{ours}"
    modules = {f"{_SIDE}.vit_model.patch_embed.proj": f"{side}.patches"}
    for index in range(_FUSIONS):
        for part, ours in (("0", "norm"), ("1", "project")):
            published = f"{_SIDE}.fusion_layers.layer_{index}.input_proj.{part}"
            modules[published] = f"{side}.fusion.{index}.{ours}"
    decoder = f"{_SIDE}.mask_decoder"
    for name, ours in (
        ("query_mlp", "query_mlp"),
        ("pix_mlp", "pixel_mlp"),
        ("attn_mlp", "bias_mlp"),
    ):
        for layer in range(_LAYERS):
            modules[f"{decoder}.{name}.layers.{layer}"] = f"encoder.masks.{ours}.{layer}"
    modules[f"{decoder}.bias_scaling"] = "encoder.masks.bias_scale"
    for name, ours in modules.items():
        for leaf in _LEAVES:
            yield f"{name}.{leaf}", f"{ours}.{leaf}"
