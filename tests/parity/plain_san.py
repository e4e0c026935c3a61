"""SAN written the plain way: published names, region tokens in CLIP's sequence behind a dense mask.

Not the code under test and sharing none of it. It is what the encoder is compared with, in numbers
(test_san_plain.py) and in time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]
_FIRST, _SECOND, _SIDE = "clip_visual_extractor.", "clip_rec_head.", "side_adapter_network."


@dataclass(frozen=True)
class Sizes:
    """Numbers that the tensors do not tell."""

    heads: int
    patch: int
    scale: float
    fusion: Mapping[int, int]
    """Block of CLIP -> stage of the adapter."""
    side_heads: int
    side_patch: int
    side_grid: int
    taps: tuple[int, ...]


BASE = Sizes(12, 16, 0.5, {0: 0, 3: 1, 6: 2, 9: 3}, 6, 16, 40, (7, 8))


def published(model_state: State, table: Mapping[str, str]) -> dict[str, Tensor]:
    """State dict of our model under the published names, of as many blocks as it has."""
    state = {}
    for name, ours in table.items():
        parts = [ours.replace("in_proj_w", f"{letter}_proj_w") for letter in "qkv"]
        if parts[0] not in model_state:
            continue
        values = [model_state[part] for part in parts]
        state[name] = values[0] if parts[0] == ours else torch.cat(values)
        if name.endswith("_embed"):
            state[name] = state[name][None]
        elif name.endswith("input_proj.1.weight") or (
            name.endswith("weight") and (".pix_mlp." in name or ".attn_mlp." in name)
        ):
            state[name] = state[name][..., None, None]
    return state


def proposals(state: State, pixels: Tensor, sizes: Sizes, training: bool = False) -> list[tuple]:
    """Masks (B, Q, h, w), biases (B, heads, Q, h, w) and unit embeddings (B, Q, C) of each tap.

    Args:
        state: published state dict.
        pixels: normalised and padded, (B, 3, H, W).
        sizes: numbers of the architecture.
        training: True for all taps, as in training; False for the last.
    """
    small = F.interpolate(pixels, scale_factor=sizes.scale, mode="bilinear", align_corners=False)
    features, tokens, grid = _first_part(state, small, sizes)
    taps = _side(state, pixels, features, sizes)
    outputs = []
    for queries, visual in taps if training else taps[-1:]:
        masks, bias = _masks(state, queries, visual, sizes)
        outputs.append((masks, bias, _second_part(state, tokens, grid, bias, sizes)))
    return outputs


def scores(masks: Tensor, embeds: Tensor, text: Tensor, void: Tensor, padded, own, size) -> Tensor:
    """Merged scores (T, *size) of one image.

    Args:
        masks: (1, Q, h, w).
        embeds: (1, Q, C), unit.
        text: (T, C), unit.
        void: (C,).
        padded, own, size: of the padded input, of the image in it, and of the scores.
    """
    rows = torch.cat([text, F.normalize(void, dim=0)[None]])
    shares = (100 * embeds[0] @ rows.T).softmax(-1)[:, :-1]
    logits = F.interpolate(masks, size=padded, mode="bilinear", align_corners=False)
    logits = logits[..., : own[0], : own[1]]
    logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return torch.einsum("qt,qhw->thw", shares, logits[0].sigmoid())


def _norm(state: State, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.layer_norm(x, weight.shape, weight, state[f"{name}.bias"], eps)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _conv(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=stride)


def _clip_block(state: State, name: str, x: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """x is (N, B, D); mask (B * heads, N, N) is added to the logits."""
    normed = _norm(state, f"{name}.ln_1", x)
    x = (
        x
        + F.multi_head_attention_forward(
            normed,
            normed,
            normed,
            x.shape[-1],
            heads,
            state[f"{name}.attn.in_proj_weight"],
            state[f"{name}.attn.in_proj_bias"],
            None,
            None,
            False,
            0.0,
            state[f"{name}.attn.out_proj.weight"],
            state[f"{name}.attn.out_proj.bias"],
            training=False,
            need_weights=False,
            attn_mask=mask,
        )[0]
    )
    hidden = _linear(state, f"{name}.mlp.c_fc", _norm(state, f"{name}.ln_2", x))
    return x + _linear(state, f"{name}.mlp.c_proj", hidden * torch.sigmoid(1.702 * hidden))


def _first_part(state: State, small: Tensor, sizes: Sizes) -> tuple[dict, Tensor, tuple[int, int]]:
    x = F.conv2d(small, state[_FIRST + "conv1.weight"], stride=sizes.patch)
    grid = (x.shape[2], x.shape[3])
    x = x.flatten(2).permute(0, 2, 1)
    first = state[_FIRST + "class_embedding"].expand(len(x), 1, -1)
    position = state[_FIRST + "positional_embedding"]
    side = math.isqrt(len(position) - 1)
    if grid != (side, side):
        old = position[1:].T.reshape(1, -1, side, side)
        new = F.interpolate(old, size=grid, mode="bicubic", align_corners=False)
        position = torch.cat([position[:1], new[0].flatten(1).T])
    x = _norm(state, _FIRST + "ln_pre", torch.cat([first, x], dim=1) + position)
    x, features = x.permute(1, 0, 2), {}
    blocks = len({name.split(".")[2] for name in state if name.startswith(_FIRST + "resblocks")})
    for index in range(blocks + 1):
        if index:
            x = _clip_block(state, f"{_FIRST}resblocks.{index - 1}", x, sizes.heads, None)
        if index in sizes.fusion:
            features[sizes.fusion[index]] = x[1:].permute(1, 2, 0).unflatten(2, grid)
    return features, x, grid


def _fused(state: State, stage: int, x: Tensor, count: int, grid, features: dict) -> Tensor:
    if stage not in features:
        return x
    name = f"{_SIDE}fusion_layers.layer_{stage}.input_proj"
    feature = _norm(state, f"{name}.0", features[stage].permute(0, 2, 3, 1), 1e-6)
    feature = _conv(state, f"{name}.1", feature.permute(0, 3, 1, 2))
    feature = F.interpolate(feature, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([x[:, :count], x[:, count:] + feature.flatten(2).transpose(1, 2)], dim=1)


def _side(state: State, pixels: Tensor, features: dict, sizes: Sizes) -> list:
    vit = _SIDE + "vit_model."
    x = _conv(state, vit + "patch_embed.proj", pixels, sizes.side_patch)
    grid = (x.shape[2], x.shape[3])
    x = x.flatten(2).transpose(1, 2)
    position = state[vit + "pos_embed"]
    if x.shape[1] != position.shape[1]:
        old = position.transpose(1, 2).unflatten(2, (sizes.side_grid, sizes.side_grid))
        new = F.interpolate(old, size=grid, mode="bicubic", align_corners=False)
        position = new.flatten(2).transpose(1, 2)
    queries = state[_SIDE + "query_embed"]
    count = queries.shape[1]
    x = torch.cat([queries.expand(len(x), -1, -1), x], dim=1)
    position = torch.cat([state[_SIDE + "query_pos_embed"], position], dim=1)
    x, outputs = _fused(state, 0, x + position, count, grid, features), []
    depth = len({name.split(".")[3] for name in state if name.startswith(vit + "blocks")})
    for index in range(1, depth + 1):
        x = _side_block(state, f"{vit}blocks.{index - 1}", x, sizes.side_heads)
        x = _fused(state, index, x, count, grid, features)
        if index in sizes.taps:
            outputs.append((x[:, :count], x[:, count:].transpose(1, 2).unflatten(2, grid)))
        if index < depth:
            x = x + position
    return outputs


def _side_block(state: State, name: str, x: Tensor, heads: int) -> Tensor:
    qkv = _linear(state, f"{name}.attn.qkv", _norm(state, f"{name}.norm1", x, 1e-6))
    q, k, v = qkv.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
    x = x + _linear(state, f"{name}.attn.proj", (weights @ v).transpose(1, 2).flatten(2))
    hidden = F.gelu(_linear(state, f"{name}.mlp.fc1", _norm(state, f"{name}.norm2", x, 1e-6)))
    return x + _linear(state, f"{name}.mlp.fc2", hidden)


def _perceptron(state: State, name: str, x: Tensor) -> Tensor:
    for layer in range(3):
        apply = _conv if x.ndim == 4 else _linear
        x = apply(state, f"{_SIDE}mask_decoder.{name}.layers.{layer}", x)
        x = x.relu() if layer < 2 else x
    return x


def _masks(state: State, queries: Tensor, visual: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
    q = _perceptron(state, "query_mlp", queries)
    masks = torch.einsum("bqc,bchw->bqhw", q, _perceptron(state, "pix_mlp", visual))
    keys = _perceptron(state, "attn_mlp", visual).unflatten(1, (sizes.heads, -1))
    bias = torch.einsum("bqc,bnchw->bnqhw", q, keys)
    return masks, _linear(state, _SIDE + "mask_decoder.bias_scaling", bias[..., None])[..., 0]


def _second_part(state: State, x: Tensor, grid, bias: Tensor, sizes: Sizes) -> Tensor:
    batch, heads, count = bias.shape[:3]
    pooled = F.adaptive_max_pool2d(bias.flatten(1, 2), grid).flatten(2)
    pooled = pooled.unflatten(1, (heads, count))
    whole = count + len(x)
    mask = torch.zeros(batch, heads, whole, whole).to(x)
    mask[:, :, :, :count] = -100
    mask[:, :, :count, count] = -100
    own = torch.arange(count)
    mask[:, :, own, own] = 0
    mask[:, :, :count, count + 1 :] = pooled
    x = torch.cat([x[:1].expand(count, -1, -1), x])
    blocks = len({name.split(".")[2] for name in state if name.startswith(_SECOND + "resblocks")})
    for index in range(blocks):
        x = _clip_block(state, f"{_SECOND}resblocks.{index}", x, heads, mask.flatten(0, 1))
    x = _norm(state, _SECOND + "ln_post", x[:count].permute(1, 0, 2)) @ state[_SECOND + "proj"]
    return F.normalize(x, dim=-1)
