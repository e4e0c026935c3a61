"""The bundled CLIPs as open_clip builds them, and forward passes that training can afford."""

from __future__ import annotations

import math
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor, nn

CONFIGS = Path(__file__).parents[2] / "ovss" / "encoders"


def build_model(name: str) -> nn.Module:
    """Builds an untrained CLIP with open_clip from a model config of this project."""
    open_clip.add_model_config(CONFIGS)
    return open_clip.create_model(name, precision="fp32", device="cpu")


def place_positions(model: nn.Module) -> None:
    """Initialises the position embedding as waves over the grid, as strong as the patches.

    open_clip initialises it with noise of a tenth of that strength. Shape cannot be recognised
    without positions, so a stronger signal helps. The shortest wave spans 3.2 cells.
    """
    embedding = model.visual.positional_embedding
    side, quarter = model.visual.grid_size[0], embedding.shape[1] // 4
    frequency = math.pi * torch.logspace(0, math.log10(1.25 * side), quarter) / (2 * side)
    angle = torch.arange(side)[:, None] * frequency
    wave = torch.cat((angle.sin(), angle.cos()), 1)
    grid = torch.cat((wave[:, None].expand(-1, side, -1), wave.expand(side, -1, -1)), -1)
    with torch.no_grad():
        embedding[1:] = 0.5 * grid.flatten(0, 1)


def normalise(image_B3HW: Tensor) -> Tensor:
    """Normalises uint8 images with the mean and standard deviation of CLIP."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return (image_B3HW.float() / 255 - mean) / std


def encode_text(model: nn.Module, tokens_NL: Tensor) -> Tensor:
    """Unit-length text embeddings (N, C).

    Running only the first L tokens is exact, because the attention is causal.
    """
    length = tokens_NL.shape[1]
    x = model.token_embedding(tokens_NL) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(x)), tokens_NL.argmax(-1)] @ model.text_projection
    return F.normalize(x.float(), dim=-1)


def embed_patches(visual: nn.Module, image_B3HW: Tensor) -> Tensor:
    """Tokens (B, 1 + N, D) before the first block, with positions resized to the image's grid."""
    x_BDhw = visual.conv1(image_B3HW)
    positions = visual.positional_embedding
    if x_BDhw.shape[-2:] != visual.grid_size:
        grid = positions[1:].T.unflatten(1, visual.grid_size)[None]
        grid = F.interpolate(grid, x_BDhw.shape[-2:], mode="bicubic", align_corners=False)
        positions = torch.cat((positions[:1], grid[0].flatten(1).T))
    first = visual.class_embedding.expand(len(x_BDhw), 1, -1).to(x_BDhw.dtype)
    x = torch.cat((first, x_BDhw.flatten(2).transpose(1, 2)), 1)
    return visual.ln_pre(x + positions.to(x.dtype))


def embed_some_patches(
    visual: nn.Module, image_B3HW: Tensor, index_BM: Tensor, place_BM: Tensor | None = None
) -> Tensor:
    """Tokens (B, 1 + M, D) of some patches of each image.

    The others are never multiplied (FLIP, Li et al., CVPR 2023, arXiv 2212.00794).

    Args:
        visual: vision transformer.
        image_B3HW: normalised images.
        index_BM: patches to keep, numbered row by row in the image.
        place_BM: cells of the model's grid that give them their positions; None: those of the same
            number, which needs images of the model's own size.
    """
    place_BM = index_BM if place_BM is None else place_BM
    patch_BPN = F.unfold(image_B3HW, visual.patch_size, stride=visual.patch_size)
    patch_BNP = patch_BPN.transpose(1, 2)
    patch_BMP = patch_BNP.gather(1, index_BM[..., None].expand(-1, -1, patch_BNP.shape[2]))
    x_BMD = F.linear(patch_BMP, visual.conv1.weight.flatten(1))
    x_BMD = x_BMD + visual.positional_embedding[1:][place_BM].to(x_BMD.dtype)
    first = (visual.class_embedding + visual.positional_embedding[0]).expand(len(x_BMD), 1, -1)
    return visual.ln_pre(torch.cat((first.to(x_BMD.dtype), x_BMD), 1))


def attend(block: nn.Module, x_BND: Tensor, queries: int) -> Tensor:
    """Residual block of the first `queries` tokens (B, queries, D), which attend to all.

    The plain matrix products are written out because the fused attention of torch takes three
    times as long on a CPU with bfloat16 for a hundred tokens.
    """
    y, attn, width = block.ln_1(x_BND), block.attn, x_BND.shape[2]
    q_w, kv_w = attn.in_proj_weight.split((width, 2 * width))
    q_b, kv_b = attn.in_proj_bias.split((width, 2 * width))
    q, k, v = (
        t.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
        for t in (F.linear(y[:, :queries], q_w, q_b), *F.linear(y, kv_w, kv_b).chunk(2, -1))
    )
    share = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1)
    x = x_BND[:, :queries] + attn.out_proj((share.to(v.dtype) @ v).transpose(1, 2).flatten(2))
    return x + block.mlp(block.ln_2(x))


def encode_pooled(visual: nn.Module, x_BND: Tensor) -> Tensor:
    """Pooled embeddings (B, C), not normalised, of embedded tokens.

    In the last block only the class token is computed, because nothing reads the patches.
    """
    *blocks, block = visual.transformer.resblocks
    for earlier in blocks:
        x_BND = attend(earlier, x_BND, queries=x_BND.shape[1])
    x = attend(block, x_BND, queries=1)
    return (visual.ln_post(x) @ visual.proj).float()[:, 0]


def encode_image(model: nn.Module, image_B3HW: Tensor, own: bool) -> tuple[Tensor, Tensor]:
    """Pooled embeddings (B, C), not normalised, and unit-length dense embeddings (B, N, C).

    In the last block, the class token uses the attention. The patches use its value path instead,
    as dense methods do (MaskCLIP).

    Args:
        model: CLIP with a vision transformer.
        image_B3HW: normalised images.
        own: adds the value path to the patch's own residual; if False, to the residual of the
            class token, as CAT-Seg does.
    """
    visual = model.visual
    *blocks, block = visual.transformer.resblocks
    x = embed_patches(visual, image_B3HW)
    for earlier in blocks:
        x = earlier(x)
    y, attn = block.ln_1(x), block.attn
    q_w, kv_w = attn.in_proj_weight.split((x.shape[2], 2 * x.shape[2]))
    q_b, kv_b = attn.in_proj_bias.split((x.shape[2], 2 * x.shape[2]))
    k, v = F.linear(y, kv_w, kv_b).chunk(2, -1)
    q, *kv = (
        t.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
        for t in (F.linear(y[:, :1], q_w, q_b), k, v)
    )
    # only the class token needs a query; for a patch, the value itself replaces the attention
    pooled = F.scaled_dot_product_attention(q, *kv).transpose(1, 2).flatten(2)
    mixed = torch.cat((pooled, v[:, 1:]), 1)
    residual = x if own else x[:, :1]
    x = residual + attn.out_proj(mixed)
    x = x + block.mlp(block.ln_2(x))
    x = (visual.ln_post(x) @ visual.proj).float()
    return x[:, 0], F.normalize(x[:, 1:], dim=-1)
