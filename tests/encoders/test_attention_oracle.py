"""Attention and dense modes head by head and token by token, and the order of the text cache."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
from torch import nn

from ovss.encoders.attention import Attention, split_attention
from ovss.encoders.dense import cat_seg, clearclip, maskclip, naclip, sclip, vanilla
from ovss.encoders.last_block import LastBlock
from ovss.encoders.text_files import prune

WIDTH, HEADS, GRID = 12, 3, (2, 3)


class Block(nn.Module):
    """Transformer block with the parts of open_clip's."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attn = attention
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.ls_1, self.ls_2 = nn.Identity(), nn.Identity()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 7), nn.GELU(), nn.Linear(7, WIDTH))


@pytest.fixture
def last() -> LastBlock:
    """Last block with its input: a class token, then the patches."""
    block = Block(Attention(WIDTH, HEADS)).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.7)
    return LastBlock(block, torch.randn(2, 1 + GRID[0] * GRID[1], WIDTH), GRID)


def projected(last: LastBlock, name: str) -> np.ndarray:
    """Queries, keys or values of all tokens."""
    attention, at = last.block.attn, "qkv".index(name)
    weight = getattr(attention, f"{name}_proj_weight").numpy(force=True)
    bias = attention.in_proj_bias.numpy(force=True)[at * WIDTH : (at + 1) * WIDTH]
    return last.block.ln_1(last.tokens_BND).numpy(force=True) @ weight.T + bias


def attended(last: LastBlock, one: str, other: str, bias=None) -> np.ndarray:
    """softmax(one other' / sqrt(d) + bias) v for every token, head by head."""
    query, key, value = (projected(last, name) for name in (one, other, "v"))
    out, size = np.zeros_like(value), WIDTH // HEADS
    for b, n, head in np.ndindex(len(out), out.shape[1], HEADS):
        part = slice(head * size, (head + 1) * size)
        logits = [float(query[b, n, part] @ k[part]) / math.sqrt(size) for k in key[b]]
        logits = logits if bias is None else [x + float(y) for x, y in zip(logits, bias[n])]
        powers = [math.exp(x) for x in logits]
        out[b, n, part] = sum(p / sum(powers) * v[part] for p, v in zip(powers, value[b]))
    return out


def through(last: LastBlock, x: np.ndarray, residual: np.ndarray | None) -> torch.Tensor:
    """Output projection; with a residual also the second half of the block."""
    projection = last.block.attn.out_proj
    y = torch.from_numpy(x) @ projection.weight.T + projection.bias
    if residual is None:
        return y
    y = y + torch.from_numpy(residual)
    return y + last.block.mlp(last.block.ln_2(y))


def near() -> np.ndarray:
    """Gaussian of NACLIP with standard deviation 5 between the tokens; 0 for the class token."""
    places = [(y, x) for y in range(GRID[0]) for x in range(GRID[1])]
    out = np.zeros((1 + len(places), 1 + len(places)))
    for i, (y, x) in enumerate(places, 1):
        for j, (v, u) in enumerate(places, 1):
            out[i, j] = math.exp(-((y - v) ** 2 + (x - u) ** 2) / 50)
    return out


@torch.no_grad()
def test_dense_modes_by_their_definition(last):
    tokens = last.tokens_BND.numpy()
    values, self_attention = projected(last, "v"), attended(last, "q", "k")
    of_class = np.repeat(tokens[:, :1], tokens.shape[1], axis=1)
    sum_of_two = attended(last, "q", "q") + attended(last, "k", "k")
    expected = {
        maskclip: through(last, values, tokens),
        cat_seg: through(last, values, of_class),
        vanilla: through(last, self_attention, tokens),
        sclip: through(last, sum_of_two, tokens),
        clearclip: through(last, attended(last, "q", "q"), None),
        naclip: through(last, attended(last, "k", "k", near()), None),
    }
    for mode, output_BND in expected.items():
        torch.testing.assert_close(
            mode(last), output_BND[:, 1:], atol=1e-4, rtol=1e-4, msg=lambda m, f=mode: f"{f}: {m}"
        )


@torch.no_grad()
def test_split_attention_is_torchs_own():
    fused = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    nn.init.normal_(fused.in_proj_bias)
    nn.init.normal_(fused.out_proj.bias)
    blocks, x = nn.ModuleList([Block(fused)]), torch.randn(2, 5, WIDTH)
    expected, weights = fused(x, x, x, need_weights=True)
    split_attention(blocks)
    found = blocks[0].attn
    assert isinstance(found, Attention)
    torch.testing.assert_close(found(x), expected)
    torch.testing.assert_close(found.forward_with_weights(x), (expected, weights))
    torch.testing.assert_close(found.weights_from_first(x).mean(1), weights[:, 0])
    first = found.attend_from_first(x, found.value(x))
    torch.testing.assert_close(first, expected[:, 0])


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    prune(tmp_path, 250)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["middle", "new"]
    prune(tmp_path, 1)
    assert [path.stem for path in tmp_path.iterdir()] == ["new"], "the last one always stays"
