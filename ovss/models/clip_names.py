"""Names of CLIP's towers in published checkpoints, for the converters of several methods.

Query, key and value of a block are one tensor there, which
`ovss.models.conversion.split_projections` splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = [
    "BLOCK",
    "CONVNEXT_TEXT_BLOCKS",
    "SPLIT_BLOCK",
    "convnext_clip_names",
    "image_tower_names",
    "split_image_tower_names",
    "text_tower_names",
]

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

SPLIT_BLOCK = (*(f"attn.{letter}_proj_weight" for letter in "qkv"), *BLOCK[1:])
"""The same in code that stores query, key and value as three tensors."""

CONVNEXT_TEXT_BLOCKS = {128: 12, 192: 16}
"""Channels of a ConvNeXt's stem -> number of blocks of the text tower of open_clip's CLIP."""

_CONVNEXT_DEPTHS = (3, 3, 27, 3)
_CONVNEXT_HEADS = {
    128: ("head.proj.weight",),
    192: ("head.mlp.fc1.weight", "head.mlp.fc1.bias", "head.mlp.fc2.weight"),
}
_CONVNEXT_BLOCK = (
    "gamma",
    *(f"{part}.{leaf}" for part in ("conv_dw", "norm", "mlp.fc1", "mlp.fc2") for leaf in _LEAVES),
)

_SURGERY = {
    "attn.in_proj_weight": "attn.qkv.weight",
    "attn.in_proj_bias": "attn.qkv.bias",
    "attn.out_proj.weight": "attn.proj.weight",
    "attn.out_proj.bias": "attn.proj.bias",
}
"""Our name -> name in blocks of the published code of CLIP Surgery."""


def text_tower_names(blocks: int = 12, block: Sequence[str] = BLOCK) -> list[str]:
    """Names of the tensors of a text tower with its factor from cosines to logits.

    Args:
        blocks: number of blocks.
        block: names in each block.
    """
    names = ["positional_embedding", "text_projection", "logit_scale", "token_embedding.weight"]
    names += [f"ln_final.{leaf}" for leaf in _LEAVES]
    return names + [f"transformer.resblocks.{i}.{part}" for i in range(blocks) for part in block]


def image_tower_names(blocks: int, block: Sequence[str] = BLOCK) -> list[str]:
    """Names of the tensors of a vision transformer, without the prefix ``visual.``.

    Args:
        blocks: number of blocks.
        block: names in each block.
    """
    names = ["class_embedding", "positional_embedding", "proj", "conv1.weight"]
    names += [f"{norm}.{leaf}" for norm in ("ln_pre", "ln_post") for leaf in _LEAVES]
    return names + [f"transformer.resblocks.{i}.{part}" for i in range(blocks) for part in block]


def convnext_clip_names(width: int) -> Iterator[str]:
    """Names of the tensors of open_clip's CLIP with a ConvNeXt-B or -L as image tower.

    Args:
        width: channels of the stem, a key of `CONVNEXT_TEXT_BLOCKS`.
    """
    yield from text_tower_names(CONVNEXT_TEXT_BLOCKS[width])
    trunk = "visual.trunk"
    for stage, depth in enumerate(_CONVNEXT_DEPTHS):
        first = "stem" if stage == 0 else f"stages.{stage}.downsample"
        yield from (f"{trunk}.{first}.{i}.{leaf}" for i in (0, 1) for leaf in _LEAVES)
        for block in range(depth):
            yield from (f"{trunk}.stages.{stage}.blocks.{block}.{part}" for part in _CONVNEXT_BLOCK)
    yield from (f"{trunk}.head.norm.{leaf}" for leaf in _LEAVES)
    yield from (f"visual.{part}" for part in _CONVNEXT_HEADS[width])


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
