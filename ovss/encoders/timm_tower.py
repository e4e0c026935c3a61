"""Features of a vision transformer of timm that serves as the image tower of an open_clip model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ovss.layers.patches import tokens_as_map
from ovss.layers.timm_tokens import is_plain_tower, rotary_positions, tower_input
from ovss.structures import ImageFeatures

from .dense import DenseMode, LastBlock
from .timm_block import TimmBlock, block_problem

__all__ = ["embed_cells", "embed_image", "timm_features", "timm_last_block", "tower_problem"]


def tower_problem(trunk: Any, pool: str) -> str | None:
    """Reason why an image tower of timm cannot give dense tokens, or None.

    Args:
        trunk: module of timm; it may be on the meta device.
        pool: pool of the tower as part of the CLIP model; empty for that of `trunk`.
    """
    if not is_plain_tower(trunk):
        return f"its image tower is timm's {type(trunk).__name__}, not a plain vision transformer"
    pool = pool or trunk.global_pool
    if pool not in ("token", "avg", "map"):
        return f"its image pool {pool!r} does not give a pooled embedding"
    return block_problem(trunk.blocks[-1])


def timm_last_block(
    visual: Any,
    pixels_B3HW: Tensor,
    positions: str = "bicubic",
    rotate: bool = False,
    depth: int = 1,
    levels: Sequence[int] = (),
) -> tuple[LastBlock, Mapping[int, Tensor]]:
    """Runs all blocks but the last one; outputs of inner blocks come with it.

    Args:
        visual: open_clip's TimmModel, for which `tower_problem` finds nothing.
        pixels_B3HW: normalised pixels; H and W are multiples of the patch.
        positions: rule for the position embeddings of another grid.
        rotate: True if dense modes compare queries and keys with their rotary positions.
        depth: number of last blocks that `LastBlock` gives access to.
        levels: 0-based blocks whose output patches are returned, by block, (B, D, h, w).
    """
    trunk = visual.trunk
    dtype = next(trunk.patch_embed.parameters()).dtype
    tokens_BND, grid = tower_input(trunk, pixels_B3HW.to(dtype), positions)
    rope_Nd, prefix = rotary_positions(trunk, grid), trunk.num_prefix_tokens
    *blocks, final = trunk.blocks
    outputs: dict[int, Tensor] = {}
    before: list[LastBlock] = []
    for index, block in enumerate(blocks):
        if index > len(blocks) - depth:
            view = TimmBlock(block, rope_Nd, rotate)
            before.append(LastBlock(view, tokens_BND, grid, prefix=prefix))
        tokens_BND = block(tokens_BND) if rope_Nd is None else block(tokens_BND, rope=rope_Nd)
        if index in levels:
            outputs[index] = tokens_as_map(tokens_BND[:, prefix:], grid)
    last = LastBlock(TimmBlock(final, rope_Nd, rotate), tokens_BND, grid, tuple(before), prefix)
    if len(blocks) in levels:
        outputs[len(blocks)] = tokens_as_map(last.patches(last.ordinary_BND), grid)
    return last, outputs


def timm_features(
    visual: Any,
    pixels_B3HW: Tensor,
    dense: DenseMode,
    levels: Sequence[int] = (),
    positions: str = "bicubic",
    rotate: bool = False,
) -> ImageFeatures:
    """Computes the features of a batch of images in one pass.

    Args:
        visual: open_clip's TimmModel, for which `tower_problem` finds nothing.
        pixels_B3HW: normalised pixels; H and W are multiples of the patch.
        dense: dense mode.
        levels: 0-based blocks whose outputs become `ImageFeatures.levels`.
        positions: rule for the position embeddings of another grid.
        rotate: True if dense modes compare queries and keys with their rotary positions.
    """
    last, outputs = timm_last_block(visual, pixels_B3HW, positions, rotate, dense.depth, levels)
    return ImageFeatures(
        dense_BChw=tokens_as_map(embed_cells(visual, dense(last)), last.grid),
        pooled_BC=embed_image(visual, last),
        levels=tuple(outputs[index] for index in levels),
    )


def embed_cells(visual: Any, tokens_BND: Tensor) -> Tensor:
    """Tokens in the joint space, each treated like an image of one cell, (B, N, C).

    An attention pool sees one cell at a time: with one key its softmax is 1, so that it applies
    its value path, its projection and its MLP to the cell.

    Args:
        visual: open_clip's TimmModel.
        tokens_BND: output tokens of the last block, before the final norm.
    """
    trunk = visual.trunk
    cells_MD = trunk.norm(tokens_BND).flatten(0, 1)
    if trunk.attn_pool is not None:
        cells_MD = trunk.attn_pool(cells_MD[:, None])
    cells_MC = visual.head(trunk.head(trunk.fc_norm(cells_MD)))
    return cells_MC.unflatten(0, (tokens_BND.shape[0], tokens_BND.shape[1]))


def embed_image(visual: Any, last: LastBlock) -> Tensor:
    """Image embedding of pre-training, (B, C), not normalised.

    Args:
        visual: open_clip's TimmModel.
        last: last block with its input.
    """
    trunk = visual.trunk
    if trunk.global_pool == "token":
        class_BD = trunk.fc_norm(trunk.norm(last.class_token_BD()))
        return visual.head(trunk.head(trunk.head_drop(class_BD)))
    return visual.head(trunk.forward_head(trunk.norm(last.ordinary_BND)))
