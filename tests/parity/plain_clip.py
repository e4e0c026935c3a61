"""CLIP's image tower the way the official code runs it, for `plain_cat_seg.predict`.

Tokens stand first and images second (L, B, D), blocks call torch's multi-head attention with
separate weights of query, key and value, QuickGELU is three operations, and the last block maps all
tokens to values. Not the code under test and sharing none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def dense_features(
    state: State, pixels: Tensor, heads: int, taps: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    """Dense embeddings (B, C, h, w) and the output (B, D, h, w) of the blocks `taps`.

    Args:
        state: tensors of the tower under the names of CLIP, without ``visual.``.
        pixels: (B, 3, H, W), normalised.
        heads: heads of a block.
        taps: 0-based blocks.
    """
    tokens, grid = _embedded(state, pixels)
    tokens = tokens.permute(1, 0, 2)
    names = [name for name in state if name.endswith(".ln_1.weight")]
    kept = {}
    for index in range(len(names) - 1):
        tokens = _block(state, f"transformer.resblocks.{index}.", tokens, heads)
        kept[index] = tokens
    tokens = _value_block(state, f"transformer.resblocks.{len(names) - 1}.", tokens)
    tokens = _norm(state, "ln_post", tokens.permute(1, 0, 2)) @ state["proj"]
    levels = [_as_map(kept[index].permute(1, 0, 2), grid) for index in taps]
    return _as_map(tokens, grid), levels


def _embedded(state: State, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Tokens (B, 1 + h * w, D) before the first block, and the grid (h, w)."""
    patch = state["conv1.weight"].shape[-1]
    cells = F.conv2d(pixels, state["conv1.weight"], stride=patch)
    grid = (cells.shape[2], cells.shape[3])
    first = state["class_embedding"] + cells.new_zeros(len(cells), 1, cells.shape[1])
    tokens = torch.cat([first, cells.flatten(2).permute(0, 2, 1)], dim=1)
    places = state["positional_embedding"]
    side = round((len(places) - 1) ** 0.5)
    square = places[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    square = F.interpolate(square, grid, mode="bicubic", align_corners=False)
    places = torch.cat([places[:1], square.flatten(2)[0].T])
    return _norm(state, "ln_pre", tokens + places), grid


def _block(state: State, name: str, tokens: Tensor, heads: int) -> Tensor:
    normed = _norm(state, name + "ln_1", tokens)
    seen, _ = F.multi_head_attention_forward(
        normed,
        normed,
        normed,
        embed_dim_to_check=tokens.shape[-1],
        num_heads=heads,
        in_proj_weight=None,
        in_proj_bias=state[name + "attn.in_proj_bias"],
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=state[name + "attn.out_proj.weight"],
        out_proj_bias=state[name + "attn.out_proj.bias"],
        training=False,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=state[name + "attn.q_proj_weight"],
        k_proj_weight=state[name + "attn.k_proj_weight"],
        v_proj_weight=state[name + "attn.v_proj_weight"],
    )
    return _with_mlp(state, name, tokens + seen)


def _value_block(state: State, name: str, tokens: Tensor) -> Tensor:
    """Output of the last block without attention: every token's value, and the first residual."""
    normed = _norm(state, name + "ln_1", tokens)
    bias = state[name + "attn.in_proj_bias"].chunk(3)[2]
    value = F.linear(normed, state[name + "attn.v_proj_weight"], bias)
    value = _linear(state, name + "attn.out_proj", value)
    return _with_mlp(state, name, value + tokens[:1])


def _with_mlp(state: State, name: str, tokens: Tensor) -> Tensor:
    hidden = _linear(state, name + "mlp.c_fc", _norm(state, name + "ln_2", tokens))
    hidden = hidden * torch.sigmoid(1.702 * hidden)
    return tokens + _linear(state, name + "mlp.c_proj", hidden)


def _as_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, 1 + h * w, C) without the class token, as (B, C, h, w)."""
    return tokens[:, 1:].permute(0, 2, 1).unflatten(2, grid)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[name + ".weight"], state[name + ".bias"])


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[name + ".weight"], state[name + ".bias"])
