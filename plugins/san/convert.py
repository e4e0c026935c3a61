"""Converts official SAN checkpoints (CVPR 2023 code, ViT-B/16 and ViT-L/14)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, rename

_FIRST, _SECOND = "clip_visual_extractor", "clip_rec_head"
_SIDE, _TEXT = "side_adapter_network", "ov_classifier"
_BLOCKS = {768: (9, 12), 1024: (18, 24)}
"""Width of the image tower -> blocks before the region tokens, and all blocks."""
_TEXT_BLOCKS = 12
_SIDE_BLOCKS, _FUSIONS, _LAYERS = 8, 4, 3

_LEAVES = ("weight", "bias")
_FUSED = "in_proj_weight"
_CLIP_BLOCK = [
    f"attn.{_FUSED}",
    "attn.in_proj_bias",
    *(
        f"{part}.{leaf}"
        for part in ("attn.out_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
        for leaf in _LEAVES
    ),
]
_SIDE_BLOCK = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.qkv.weight": f"attention.{_FUSED}",
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
    name = f"{_FIRST}.class_embedding"
    width = tensors[name].shape[0] if name in tensors and tensors[name].ndim == 1 else None
    if width not in _BLOCKS:
        known = " or ".join(map(str, _BLOCKS))
        raise CheckpointError(
            f"expected {name} with {known} values, found "
            f"{'no such tensor' if width is None else f'{width} values'}"
        )
    scale = tensors.get(f"{_TEXT}.logit_scale")
    if scale is not None and not abs(float(scale.float().mean()) - math.log(100)) < 1e-2:
        raise CheckpointError(
            f"expected {_TEXT}.logit_scale of log(100) = 4.605, found {float(scale.mean()):.4g}"
        )
    conversion = rename(tensors, official_table(*_BLOCKS[width]), _DROPS)
    for ours in list(conversion.tensors):
        value = conversion.tensors[ours]
        if ours.endswith(_FUSED):
            _split(conversion, ours)
        elif ours.startswith(_ONE_ROW):
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


def _split(conversion: Conversion, ours: str) -> None:
    """Splits a fused projection into query, key and value."""
    parts = conversion.tensors.pop(ours).chunk(3)
    published = conversion.source.pop(ours)
    for letter, part in zip("qkv", parts, strict=True):
        name = ours.replace(_FUSED, f"{letter}_proj_weight")
        conversion.tensors[name] = part.contiguous()
        conversion.source[name] = published


def _clip_names(split: int, blocks: int) -> Iterator[tuple[str, str]]:
    for name in ("class_embedding", "positional_embedding", "conv1.weight"):
        yield f"{_FIRST}.{name}", f"encoder.clip.visual.{name}"
    yield f"{_SECOND}.proj", "encoder.clip.visual.proj"
    for name in ("positional_embedding", "text_projection", "logit_scale"):
        yield f"{_TEXT}.{name}", f"encoder.clip.{name}"
    yield f"{_TEXT}.token_embedding.weight", "encoder.clip.token_embedding.weight"
    yield f"{_TEXT}.bg_embed", "head.void"
    for leaf in _LEAVES:
        yield f"{_FIRST}.ln_pre.{leaf}", f"encoder.clip.visual.ln_pre.{leaf}"
        yield f"{_SECOND}.ln_post.{leaf}", f"encoder.clip.visual.ln_post.{leaf}"
        yield f"{_TEXT}.ln_final.{leaf}", f"encoder.clip.ln_final.{leaf}"
    for part in _CLIP_BLOCK:
        for index in range(blocks):
            own = index if index < split else index - split
            root = _FIRST if index < split else _SECOND
            yield (
                f"{root}.resblocks.{own}.{part}",
                f"encoder.clip.visual.transformer.resblocks.{index}.{part}",
            )
        for index in range(_TEXT_BLOCKS):
            name = f"transformer.resblocks.{index}.{part}"
            yield f"{_TEXT}.{name}", f"encoder.clip.{name}"


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
