"""Names of CLIP's towers in published checkpoints, for the converters of several methods.

Query, key and value of a block are one tensor there, which
`ovss.models.conversion.split_projections` splits.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["BLOCK", "image_tower_names", "split_image_tower_names", "text_tower_names"]

_LEAVES = ("weight", "bias")

BLOCK = (
    "attn.in_proj_weight",
    "attn.in_proj_bias",
    *(
        f"{part}.{leaf}"
        for part in ("attn.out_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
        for leaf in _LEAVES
    ),
)
"""Tensors of a transformer block."""

_SURGERY = {
    "attn.in_proj_weight": "attn.qkv.weight",
    "attn.in_proj_bias": "attn.qkv.bias",
    "attn.out_proj.weight": "attn.proj.weight",
    "attn.out_proj.bias": "attn.proj.bias",
}
"""Our name -> name in blocks of the published code of CLIP Surgery."""


def text_tower_names(blocks: int = 12) -> list[str]:
    """Names of the tensors of a text tower with its factor from cosines to logits.

    Args:
        blocks: number of blocks.
    """
    names = ["positional_embedding", "text_projection", "logit_scale", "token_embedding.weight"]
    names += [f"ln_final.{leaf}" for leaf in _LEAVES]
    return names + [f"transformer.resblocks.{i}.{part}" for i in range(blocks) for part in BLOCK]


def image_tower_names(blocks: int) -> list[str]:
    """Names of the tensors of a vision transformer, without the prefix ``visual.``.

    Args:
        blocks: number of blocks.
    """
    names = ["class_embedding", "positional_embedding", "proj", "conv1.weight"]
    names += [f"{norm}.{leaf}" for norm in ("ln_pre", "ln_post") for leaf in _LEAVES]
    return names + [f"transformer.resblocks.{i}.{part}" for i in range(blocks) for part in BLOCK]


def split_image_tower_names(
    first: str, second: str, split: int, blocks: int, surgery: int | None = None
) -> Iterator[tuple[str, str]]:
    """Published name and name without ``visual.`` of a tower that is published in two parts.

    SAN and EBSeg store the blocks before the region tokens and those after as two modules.

    Args:
        first: prefix of the first part, without its final dot.
        second: prefix of the second part.
        split: number of blocks of the first part.
        blocks: number of all blocks.
        surgery: 0-based first block with the names of CLIP Surgery; None if no block has them.
    """
    surgery = blocks if surgery is None else surgery
    for name in image_tower_names(0):
        part = second if name == "proj" or name.startswith("ln_post.") else first
        yield f"{part}.{name}", name
    for index in range(blocks):
        part, own = (first, index) if index < split else (second, index - split)
        for name in BLOCK:
            published = name if index < surgery else _SURGERY.get(name, name)
            yield f"{part}.resblocks.{own}.{published}", f"transformer.resblocks.{index}.{name}"
