"""Image tower of EVA-02 CLIP, with the dense tokens that DeCLIP trains.

Blocks are timm's own. Only the last one is taken apart: its dense tokens are the attention branch
alone, with weights from queries and keys that carry no position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.pos_embed_sincos import apply_rot_embed_cat, build_rotary_pos_embed
from torch import Tensor, nn

from ovss.encoders.attention import split_attention
from ovss.layers.attention import attend
from ovss.layers.patches import resize_positions
from ovss.structures import ImageFeatures

MODES = ("csa", "qq")
"""Weights of the last block: softmax(q q') + softmax(k k'), or softmax(q q') alone."""


def build_eva_clip(config: Mapping[str, Any]) -> nn.Module:
    """Builds open_clip's module of an EVA-02 CLIP, with split attention in the text tower.

    Args:
        config: model config.
    """
    from open_clip.model import CustomTextCLIP

    arguments = {k: v for k, v in config.items() if k not in ("preprocess_cfg", "custom_text")}
    clip = CustomTextCLIP(**arguments)
    split_attention(clip.text.transformer.resblocks)
    return clip


def eva_problem(config: Mapping[str, Any]) -> str | None:
    """Reason why an architecture is not an EVA-02 CLIP with rotary positions, or None."""
    name = config["vision_cfg"].get("timm_model_name") or "its own ViT"
    if not name.startswith("eva02_") or "enormous" in name:
        return f"its image tower is {name}, not an EVA-02 with rotary positions"
    if config["text_cfg"].get("hf_model_name"):
        return "its text tower is Hugging Face's"
    return None


def eva_features(
    trunk: Any, pixels_B3HW: Tensor, levels: tuple[int, ...] = (), mode: str = "csa"
) -> ImageFeatures:
    """Computes the features of a batch of images in one pass.

    Args:
        trunk: timm's Eva with separate queries, keys and values.
        pixels_B3HW: normalised pixels; H and W are multiples of the patch size.
        levels: 0-based blocks whose outputs become `ImageFeatures.levels`.
        mode: one of `MODES`.

    Returns:
        Dense tokens of length 1, as the methods use them; the pooled embedding of pre-training, not
        normalised; and the levels.
    """
    tokens_BND, grid = _embed(trunk, pixels_B3HW)
    rope_Nd = _rope(trunk, grid, tokens_BND)
    *blocks, last = trunk.blocks
    outputs = {}
    for index, block in enumerate(blocks):
        tokens_BND = block(tokens_BND, rope=rope_Nd)
        if index in levels:
            outputs[index] = _as_map(tokens_BND[:, 1:], grid)
    if len(blocks) in levels:
        outputs[len(blocks)] = _as_map(last(tokens_BND, rope=rope_Nd)[:, 1:], grid)
    normed_BND = last.norm1(tokens_BND)
    dense_BNC = trunk.head(trunk.norm(_dense(last.attn, normed_BND, mode)))
    class_B1D = _class_token(last, tokens_BND, normed_BND, rope_Nd)
    return ImageFeatures(
        dense_BChw=_as_map(F.normalize(dense_BNC, dim=-1), grid),
        pooled_BC=trunk.head(trunk.norm(class_B1D))[:, 0],
        levels=tuple(outputs[index] for index in levels),
    )


def _embed(trunk: Any, pixels_B3HW: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Input tokens of the first block (B, 1 + h * w, D), and the grid (h, w)."""
    patches_BDhw = trunk.patch_embed.proj(pixels_B3HW)
    grid = (patches_BDhw.shape[2], patches_BDhw.shape[3])
    class_B1D = trunk.cls_token.expand(patches_BDhw.shape[0], -1, -1)
    tokens_BND = torch.cat([class_B1D, patches_BDhw.flatten(2).transpose(1, 2)], dim=1)
    positions_ND = resize_positions(trunk.pos_embed[0], trunk.patch_embed.grid_size, grid)
    return trunk.norm_pre(tokens_BND + positions_ND.to(tokens_BND.dtype)), grid


def _rope(trunk: Any, grid: tuple[int, int], like: Tensor) -> Tensor:
    """Sines and cosines of the grid, whose coordinates span those of pre-training."""
    sine, cosine = build_rotary_pos_embed(
        feat_shape=list(grid),
        dim=trunk.rope.dim,
        temperature=trunk.rope.temperature,
        in_pixels=False,
        ref_feat_shape=trunk.rope.ref_feat_shape,
        device=like.device,
    )
    return torch.cat([sine, cosine], dim=-1)


def _dense(attention: Any, normed_BND: Tensor, mode: str) -> Tensor:
    """Attention branch of the patches; the logits are products, not divided by sqrt(d)."""
    value_BHNd = _heads(attention, attention.v_proj(normed_BND))
    root = value_BHNd.shape[-1] ** 0.5  # undoes the division inside `attend`
    parts = [attention.q_proj, attention.k_proj] if mode == "csa" else [attention.q_proj]
    total: Tensor | float = 0.0
    for part in parts:
        x_BHNd = _heads(attention, part(normed_BND))
        total = total + attend(root * x_BHNd[:, :, 1:], x_BHNd, value_BHNd)
    assert isinstance(total, Tensor)
    return attention.proj(attention.norm(total.transpose(1, 2).flatten(2)))


def _class_token(block: Any, tokens_BND: Tensor, normed_BND: Tensor, rope_Nd: Tensor) -> Tensor:
    """Output (B, 1, D) of the unchanged block for the class token only."""
    attention = block.attn
    query_BH1d = _heads(attention, attention.q_proj(normed_BND[:, :1]))
    key_BHNd = _heads(attention, attention.k_proj(normed_BND))
    turned_BHMd = apply_rot_embed_cat(key_BHNd[:, :, 1:], rope_Nd).to(key_BHNd)
    key_BHNd = torch.cat([key_BHNd[:, :, :1], turned_BHMd], dim=2)
    value_BHNd = _heads(attention, attention.v_proj(normed_BND))
    out_B1D = attend(query_BH1d, key_BHNd, value_BHNd).transpose(1, 2).flatten(2)
    class_B1D = tokens_BND[:, :1] + attention.proj(attention.norm(out_B1D))
    return class_B1D + block.mlp(block.norm2(class_B1D))


def _heads(attention: Any, x_BND: Tensor) -> Tensor:
    return x_BND.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)


def _as_map(tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    return tokens_BND.transpose(1, 2).unflatten(2, grid)
