"""Tokens of timm's plain vision transformers, for images of any size.

Two classes of timm are understood: `VisionTransformer` and `Eva`, which has rotary positions.
Between them they cover DINO, DINOv2 with registers, DINOv3, MAE, RADIO, SigLIP, EVA-CLIP and the
Perception Encoder. timm itself accepts other image sizes only if a model was built for them, and
resizes positions by one rule, so that the input tokens are made here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .patches import resize_positions

__all__ = ["is_plain_tower", "patch_of", "rotary_positions", "tower_input", "tower_tokens"]


def is_plain_tower(trunk: Any) -> bool:
    """True if a module of timm is one whose tokens this file can compute."""
    from timm.layers import HybridEmbed, PatchEmbed
    from timm.layers.pos_embed_sincos import RotaryEmbeddingCat, RotaryEmbeddingDinoV3
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(trunk, (Eva, VisionTransformer)):
        return False
    rope = trunk.rope if isinstance(trunk, Eva) else None
    return type(trunk.patch_embed) in (PatchEmbed, HybridEmbed) and (
        rope is None or type(rope) in (RotaryEmbeddingCat, RotaryEmbeddingDinoV3)
    )


def patch_of(trunk: Any) -> tuple[int, int]:
    """Sides (height, width) of a patch in pixels; of a stem of convolutions, its stride."""
    ratio = trunk.patch_embed.feat_ratio(as_scalar=False)
    return int(ratio[0]), int(ratio[1])


def tower_input(
    trunk: Any, pixels_B3HW: Tensor, positions: str = "bicubic"
) -> tuple[Tensor, tuple[int, int]]:
    """Input tokens of the first block (B, prefix + h * w, D), and the grid (h, w).

    Args:
        trunk: module for which `is_plain_tower` is true.
        pixels_B3HW: normalised pixels; H and W are multiples of the patch.
        positions: rule for the position embeddings of another grid, a key of
            `patches.POSITION_RULES`.
    """
    patches_BDhw = _patches(trunk.patch_embed, pixels_B3HW)
    grid = (patches_BDhw.shape[2], patches_BDhw.shape[3])
    cells_BND = patches_BDhw.flatten(2).transpose(1, 2)
    first = [
        token.expand(cells_BND.shape[0], -1, -1).to(cells_BND.dtype)
        for token in (trunk.cls_token, trunk.reg_token)
        if token is not None
    ]
    if trunk.pos_embed is None:
        return trunk.norm_pre(torch.cat([*first, cells_BND], dim=1)), grid
    prefix = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
    old = trunk.patch_embed.grid_size
    table_ND = resize_positions(trunk.pos_embed[0], tuple(old), grid, positions, prefix)
    table_ND = table_ND.to(cells_BND.dtype)
    if trunk.no_embed_class:
        tokens_BND = torch.cat([*first, cells_BND + table_ND], dim=1)
    else:
        tokens_BND = torch.cat([*first, cells_BND], dim=1) + table_ND
    return trunk.norm_pre(tokens_BND), grid


def rotary_positions(trunk: Any, grid: tuple[int, int]) -> Tensor | None:
    """Sines and cosines of a grid (h * w, 2 d); None for a tower without rotary positions."""
    from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3, build_rotary_pos_embed
    from timm.models.eva import Eva

    rope: Any = trunk.rope if isinstance(trunk, Eva) else None
    if isinstance(rope, RotaryEmbeddingDinoV3):
        return rope.get_embed(shape=list(grid))
    if rope is None:
        return None
    sine, cosine = build_rotary_pos_embed(
        feat_shape=list(grid),
        dim=rope.dim,
        temperature=rope.temperature,
        in_pixels=False,
        ref_feat_shape=rope.ref_feat_shape,
        grid_offset=rope.grid_offset,
        grid_indexing=rope.grid_indexing,
        rotate_half=rope.rotate_half,
        device=trunk.patch_embed.proj.weight.device,
    )
    return torch.cat([sine, cosine], dim=-1)


def tower_tokens(
    trunk: Any, pixels_B3HW: Tensor, positions: str = "bicubic", with_prefix: bool = False
) -> tuple[Tensor, tuple[int, int]]:
    """Tokens after the last block and the final norm (B, h * w, D), and the grid (h, w).

    Args:
        trunk: module for which `is_plain_tower` is true.
        pixels_B3HW: normalised pixels; H and W are multiples of the patch.
        positions: rule for the position embeddings of another grid.
        with_prefix: True to keep the class token and registers before the patches.
    """
    tokens_BND, grid = tower_input(trunk, pixels_B3HW, positions)
    rope_Nd = rotary_positions(trunk, grid)
    for block in trunk.blocks:
        tokens_BND = block(tokens_BND) if rope_Nd is None else block(tokens_BND, rope=rope_Nd)
    # One of the two norms is the identity: towers that pool by averaging have theirs after it.
    first = 0 if with_prefix else trunk.num_prefix_tokens
    return trunk.fc_norm(trunk.norm(tokens_BND[:, first:])), grid


def _patches(embed: Any, pixels_B3HW: Tensor) -> Tensor:
    from timm.layers import HybridEmbed

    if isinstance(embed, HybridEmbed):
        return embed.proj(embed.backbone(pixels_B3HW))
    patches_BhwD = embed.norm(embed.proj(pixels_B3HW).permute(0, 2, 3, 1))
    return patches_BhwD.permute(0, 3, 1, 2)
