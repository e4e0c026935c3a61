"""Mask2Former's blocks in few lines: every sum written out, nothing saved, nothing shared."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def plain_positions(height: int, width: int, dim: int) -> Tensor:
    """(dim, h, w) by scalar formulas."""
    out = torch.empty(dim, height, width, dtype=torch.float64)
    half = dim // 2
    for axis, side in ((0, height), (1, width)):
        for j in range(half):
            t = 10000 ** (2 * (j // 2) / half)
            for n in range(side):
                angle = (n + 1) / (side + 1e-6) * 2 * math.pi / t
                value = math.sin(angle) if j % 2 == 0 else math.cos(angle)
                cells = (slice(None), n) if axis else (n, slice(None))
                out[(axis * half + j, *cells)] = value
    return out


def plain_deformable(attention, query_ND: Tensor, value_MD: Tensor, centre_N2: Tensor, sizes):
    """Deformable attention of one image, with every point read by grid_sample."""
    heads, levels, points = attention.heads, attention.levels, attention.points
    count, dim = query_ND.shape
    offset = F.linear(query_ND, attention.offset.weight, attention.offset.bias)
    offset = offset.view(count, heads, levels, points, 2)
    weight = F.linear(query_ND, attention.weight.weight, attention.weight.bias)
    weight = weight.view(count, heads, levels * points).softmax(2).view(count, heads, levels, -1)
    value_MD = F.linear(value_MD, attention.value.weight, attention.value.bias)
    out = torch.zeros(heads, dim // heads, count, dtype=query_ND.dtype)
    start = 0
    for level, (height, width) in enumerate(sizes):
        cells = value_MD[start : start + height * width]
        start += height * width
        maps = cells.T.reshape(heads, dim // heads, height, width)
        for point in range(points):
            step = offset[:, :, level, point] / torch.tensor([width, height])
            place = centre_N2[:, None] + step
            grid = (2 * place - 1).transpose(0, 1)[:, :, None]
            read = F.grid_sample(maps, grid, align_corners=False)[..., 0]
            out += read * weight[:, :, level, point].T[:, None]
    out = out.flatten(0, 1).T
    return F.linear(out, attention.out.weight, attention.out.bias)


def plain_pixels(decoder, levels: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Pixel decoder of one image; levels fine first, each (D, h, w)."""
    coarse = levels[:0:-1]
    maps = [embed(x[None])[0] for embed, x in zip(decoder.embeds, coarse, strict=True)]
    sizes = [tuple(x.shape[1:]) for x in maps]
    x = torch.cat([each.flatten(1).T for each in maps])
    dim = x.shape[1]
    place, centre = [], []
    for (height, width), level_D in zip(sizes, decoder.level_LD, strict=True):
        place.append(plain_positions(height, width, dim).flatten(1).T + level_D)
        for row in range(height):
            for column in range(width):
                centre.append(((column + 0.5) / width, (row + 0.5) / height))
    position, centre_N2 = torch.cat(place), torch.tensor(centre, dtype=x.dtype)
    for layer in decoder.layers:
        change = plain_deformable(layer.attention, x + position, x, centre_N2, sizes)
        x = layer.norm1(x + change)
        x = layer.norm2(x + layer.mlp[2](F.relu(layer.mlp[0](x))))
    out, start = [], 0
    for height, width in sizes:
        out.append(x[start : start + height * width].T.reshape(dim, height, width))
        start += height * width
    fine = levels[0][None]
    up = F.interpolate(out[-1][None], fine.shape[2:], mode="bilinear", align_corners=False)
    fine = decoder.smooth(decoder.lateral(fine) + up)
    return decoder.mask(fine)[0], out


def multihead(fused) -> nn.MultiheadAttention:
    """PyTorch's own attention with the weights of ours."""
    dim = fused.out.weight.shape[0]
    plain = nn.MultiheadAttention(dim, fused.heads, batch_first=True).to(fused.out.weight)
    with torch.no_grad():
        plain.in_proj_weight.copy_(fused.inputs.weight)
        plain.in_proj_bias.copy_(fused.inputs.bias)
        plain.out_proj.load_state_dict(fused.out.state_dict())
    return plain


def plain_queries(decoder, fine_DhW: Tensor, levels: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Mask logits (Q, h, w) and class embeddings (Q, C) of all predictions for one image."""
    memories = []
    for i, level in enumerate(levels):
        value = level.flatten(1).T + decoder.level.weight[i]
        memories.append((value + plain_positions(*level.shape[1:], len(level)).flatten(1).T, value))
    x, place = decoder.content.weight, decoder.position.weight
    found = []
    for i in range(len(decoder.layers) + 1):
        query = decoder.norm(x)
        masks = torch.einsum("qd,dhw->qhw", decoder.mask_embedding(query), fine_DhW)
        found.append((masks, decoder.class_embedding(query[None], masks[None], fine_DhW[None])[0]))
        if i == len(decoder.layers):
            return found
        key, value = memories[i % len(levels)]
        size = levels[i % len(levels)].shape[1:]
        small = F.interpolate(masks[None], size, mode="bilinear", align_corners=False)[0]
        blocked = small.flatten(1).sigmoid() < 0.5
        blocked[blocked.all(1)] = False
        layer = decoder.layers[i]
        cross, among = multihead(layer.cross), multihead(layer.among)
        x = layer.norm1(x + cross(x + place, key, value, attn_mask=blocked)[0])
        x = layer.norm2(x + among(x + place, x + place, x)[0])
        x = layer.norm3(x + layer.mlp[2](F.relu(layer.mlp[0](x))))
    raise AssertionError
