"""Image tower of EVA-02 CLIP, with the dense tokens that DeCLIP trains.

Blocks are timm's own. Only the last one is taken apart: its dense tokens are the attention branch
alone, with weights from queries and keys that carry no position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ovss.encoders.attention import split_attention
from ovss.encoders.last_block import LastBlock
from ovss.encoders.timm_block import TimmBlock
from ovss.layers.attention import attend
from ovss.layers.timm_tokens import rotary_positions, tower_input
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
    tokens_BND, grid = tower_input(trunk, pixels_B3HW)
    rope_Nd = rotary_positions(trunk, grid)
    *blocks, last = trunk.blocks
    outputs = {}
    for index, block in enumerate(blocks):
        tokens_BND = block(tokens_BND, rope=rope_Nd)
        if index in levels:
            outputs[index] = _as_map(tokens_BND[:, 1:], grid)
    if len(blocks) in levels:
        outputs[len(blocks)] = _as_map(last(tokens_BND, rope=rope_Nd)[:, 1:], grid)
    block = LastBlock(TimmBlock(last, rope_Nd), tokens_BND, grid)
    dense_BNC = trunk.head(trunk.norm(_dense(last.attn, block.normed_BND, mode)))
    return ImageFeatures(
        dense_BChw=_as_map(F.normalize(dense_BNC, dim=-1), grid),
        pooled_BC=trunk.head(trunk.norm(block.class_token_BD())),
        levels=tuple(outputs[index] for index in levels),
    )


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


def _heads(attention: Any, x_BND: Tensor) -> Tensor:
    return x_BND.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)


def _as_map(tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    return tokens_BND.transpose(1, 2).unflatten(2, grid)
