"""Region tokens against the published form: one sequence, behind a mask of all pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ovss.encoders.architecture import build_clip
from ovss.layers.region_tokens import TokenSight, run_block, run_with_regions

HEADS, QUERIES = 4, 5
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def blocks() -> nn.ModuleList:
    torch.manual_seed(0)
    clip = build_clip(CONFIG).double()
    for parameter in clip.parameters():
        nn.init.normal_(parameter, std=0.3)
    return clip.visual.transformer.resblocks


@pytest.fixture
def tokens() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 13, 32).double(), torch.randn(2, QUERIES, 32).double()


def in_one_sequence(
    blocks: nn.ModuleList, tokens: Tensor, region: Tensor, bias: Tensor, sight: TokenSight, queries
) -> tuple[Tensor, Tensor]:
    """Regions first, then class token and patches; additive mask (B, heads, all, all)."""
    count, x = region.shape[1], torch.cat([region, tokens], dim=1)
    closed = -torch.inf
    mask = torch.zeros(len(x), HEADS, x.shape[1], x.shape[1]).double()
    mask[:, :, :, :count] = closed
    mask[:, :, :count, count] = 0 if sight.sees_class else closed
    if sight.sees_itself:
        mask[:, :, range(count), range(count)] = 0
    mask[:, :, :count, count + 1 :] = bias
    for block, extra in zip(blocks, queries or [None] * len(blocks), strict=True):
        normed, attn = block.ln_1(x), block.attn
        query = attn.query(normed)
        if extra is not None:
            query[:, :count] += extra(normed[:, :count])
        q, k, v = map(attn.split_heads, (query, attn.key(normed), attn.value(normed)))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask).softmax(-1)
        x = x + attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
        x = x + block.mlp(block.ln_2(x))
    return x[:, count:], x[:, :count]


@pytest.mark.parametrize("kind", ["bias", "one bias", "boolean"])
@pytest.mark.parametrize("sees_class", [False, True])
@pytest.mark.parametrize("sees_itself", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_results_are_those_of_one_sequence(blocks, tokens, kind, sees_class, sees_itself, learned):
    if kind == "boolean" and not (sees_class or sees_itself):
        return
    generator = torch.Generator().manual_seed(2)
    shape = (2, 1 if kind == "one bias" else HEADS, QUERIES, 12)
    bias = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    patches = bias
    if kind == "boolean":
        patches = bias > 0
        patches[0, :, 0] = False  # an empty region
        bias = torch.zeros(shape).double().masked_fill(~patches, -torch.inf)
    queries = [nn.Linear(32, 32).double() for _ in blocks] if learned else []
    sight = TokenSight(patches, sees_class, sees_itself)
    with torch.no_grad():
        found = run_with_regions(blocks, *tokens, sight, queries)
        expected = in_one_sequence(blocks, *tokens, bias, sight, queries)
        assert torch.allclose(found[0], expected[0], atol=1e-12)
        assert torch.allclose(found[1], expected[1], atol=1e-12)


def test_ordinary_tokens_do_not_see_the_region_tokens(blocks, tokens):
    """They are bit for bit those of a pass without region tokens."""
    expected = tokens[0]
    bias = torch.randn(2, HEADS, QUERIES, 12).double()
    sight = TokenSight(bias, sees_class=False, sees_itself=True)
    with torch.no_grad():
        for block in blocks:
            expected = run_block(block, expected)
        found, region = run_with_regions(blocks, *tokens, sight)
        nothing, same = run_with_regions(blocks, *tokens, sight, finish=False)
    assert torch.equal(found, expected)
    assert nothing is None
    assert torch.equal(same, region)


def test_gradients_reach_the_bias_and_the_tokens(blocks, tokens):
    bias = torch.randn(2, HEADS, QUERIES, 12).double().requires_grad_()
    leaves = [bias, *(each.clone().requires_grad_() for each in tokens)]
    sight = TokenSight(bias, sees_class=False, sees_itself=True)
    _, region = run_with_regions(blocks, *leaves[1:], sight)
    gradients = torch.autograd.grad(region.square().sum(), leaves)
    _, plain = in_one_sequence(blocks, *leaves[1:], bias, sight, [])
    expected = torch.autograd.grad(plain.square().sum(), leaves)
    for one, other in zip(gradients, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


def test_a_boolean_needs_a_key_that_is_always_visible():
    with pytest.raises(ValueError, match="an empty region would attend to nothing"):
        TokenSight(torch.ones(1, 1, 1, 4, dtype=torch.bool), sees_class=False, sees_itself=False)
