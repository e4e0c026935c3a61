"""Equations and laws of CVGDecoder and of dual prompts, against plain implementations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.dpseg import CVGDecoder, VisualPrompts, dual_prompts
from ovss_plugins.dpseg.prompts import replace_prompts
from ovss_plugins.dpseg.stage import HybridDilatedBlock, SpatialBlock, VisualGuide

from ovss.heads.cosine import CosineHead
from ovss.ops import cosine_volume
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures

LEVELS, M, C = (5, 6), 3, 8


def small(**changes) -> CVGDecoder:
    torch.manual_seed(0)
    sizes = dict(dim=16, stage_dims=(12, 8), guides=(4, 4), visual_guides=(3, 2), heads=2, expand=2)
    return CVGDecoder(LEVELS, M, **{**sizes, **changes}).eval()


def aligned(selection: Selection, grid=(4, 6), scales=(4, 2)) -> Alignment:
    batch, count = selection.batch, selection.num_categories
    dense = torch.randn(batch, C, *grid)
    levels = tuple(
        torch.randn(batch, dim, grid[0] * scale, grid[1] * scale)
        for dim, scale in zip(LEVELS, scales)
    )
    embeds = F.normalize(torch.randn(count, M, C), dim=-1)
    text = TextFeatures(embeds, tuple(torch.randn(count, M, dim) for dim in LEVELS))
    return CosineHead(M)(ImageFeatures(dense, dense.mean((2, 3)), levels), text, selection)


def visual(count=4, found=None) -> VisualPrompts:
    found = torch.ones(count, dtype=torch.bool) if found is None else torch.tensor(found)
    mask = found[:, None, None]
    levels = tuple(torch.randn(count, M, dim) * mask for dim in LEVELS)
    return VisualPrompts(torch.randn(count, M, C) * 5 * mask, levels, found)


# -- the equations -------------------------------------------------------------------------------


@torch.no_grad()
def test_dual_prompt_volume_is_the_cosine_with_the_mean_prompt():
    text = TextFeatures(F.normalize(torch.randn(4, M, C), dim=2))
    prompts, dense = visual(), torch.randn(1, C, 2, 3)
    mixed = dual_prompts(text, prompts)
    found = cosine_volume(dense, mixed.embeds_TPC[None])
    for k in range(4):
        for m in range(M):
            mean = prompts.embeds_TPC[k, m] / prompts.embeds_TPC[k, m].norm()
            mean = (mean + text.embeds_TPC[k, m]) / 2
            for y in range(2):
                for x in range(3):
                    cell = dense[0, :, y, x]
                    expected = cell @ mean / (cell.norm() * mean.norm())
                    torch.testing.assert_close(found[0, k, m, y, x], expected)
    assert mixed.levels is prompts.levels


@torch.no_grad()
def test_without_normalising_first_the_longer_prompt_dominates():
    text = TextFeatures(F.normalize(torch.randn(4, M, C), dim=2))
    prompts = visual()
    raw = dual_prompts(text, prompts, pre_norm=False).embeds_TPC
    torch.testing.assert_close(raw, F.normalize(prompts.embeds_TPC + text.embeds_TPC, dim=2))
    unit = F.normalize(prompts.embeds_TPC, dim=2)
    assert (raw * unit).sum(2).mean() > (raw * text.embeds_TPC).sum(2).mean()


@torch.no_grad()
def test_a_category_without_visual_prompts_keeps_its_text():
    text = TextFeatures(F.normalize(torch.randn(3, M, C), dim=2))
    prompts = visual(3, [True, False, True])
    for fusion in ("average", "text", "visual"):
        mixed = dual_prompts(text, prompts, fusion).embeds_TPC
        torch.testing.assert_close(mixed[1], text.embeds_TPC[1])
    torch.testing.assert_close(mixed[0], F.normalize(prompts.embeds_TPC[0], dim=1))


@torch.no_grad()
@pytest.mark.parametrize("reduce", ["conv1x1_m", "mean_m"])
def test_mixing_prompts_first_equals_the_convolved_visual_volume(reduce):
    """Compares with F_v^j (h, w, K, M) itself and a convolution over M."""
    guide, level, prompts = VisualGuide(M, 2, reduce), torch.randn(5, 3, 4), torch.randn(6, M, 5)
    volume = torch.empty(6, M, 3, 4)
    for k in range(6):
        for m in range(M):
            volume[k, m] = F.cosine_similarity(level, prompts[k, m][:, None, None], dim=0)
    if reduce == "mean_m":
        volume = volume.mean(1, keepdim=True)
    expected = F.conv2d(volume, guide.mix.weight[:, :, None, None], guide.mix.bias).relu()
    torch.testing.assert_close(guide(level, prompts, (3, 4)), expected)


@torch.no_grad()
def test_zero_prompts_guide_like_no_prompts():
    guide = VisualGuide(M, 2, "conv1x1_m")
    found = guide(torch.randn(5, 3, 4), torch.zeros(6, M, 5), (6, 8))
    torch.testing.assert_close(found, guide.mix.bias.relu()[None, :, None, None].expand(6, 2, 6, 8))


def test_no_tensor_of_the_visual_volume_is_made():
    guide = VisualGuide(50, 2, "conv1x1_m")
    sizes: list[int] = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: sizes.append(x.numel()) or x, lambda x: x
    )
    with hooks:
        guide(torch.randn(5, 32, 32, requires_grad=True), torch.randn(6, 50, 5), (32, 32)).sum()
    assert max(sizes) < 6 * 50 * 32 * 32 / 4


@torch.no_grad()
def test_hybrid_dilated_block_sees_fifteen_cells_a_side():
    block, x = HybridDilatedBlock(4, (1, 2, 4), 8), torch.zeros(1, 31, 31, 4)
    x[0, 15, 15] = torch.randn(4)
    changed = (block(x) - block(torch.zeros_like(x))).abs().amax((0, 3)) > 0
    rows = changed.any(1).nonzero()[:, 0]
    assert (int(rows[0]), int(rows[-1])) == (8, 22)


@torch.no_grad()
def test_spatial_attention_is_the_written_out_formula():
    block = SpatialBlock(8, 2, 16, (1, 1)).eval()
    x = torch.randn(3, 2, 4, 8)
    inner, expected = block.block, torch.empty_like(x)
    for k in range(3):
        cells = x[k].reshape(8, 8)
        normed, attn = inner.norm1(cells), inner.attention
        q, key = (F.elu(f(normed)) + 1 for f in (attn.query, attn.key))
        value, mixed = attn.value(normed), torch.empty_like(cells)
        for head in (slice(0, 4), slice(4, 8)):
            weights = q[:, head] @ key[:, head].T
            mixed[:, head] = weights @ value[:, head] / weights.sum(1, keepdim=True)
        seen = cells + mixed
        seen = seen + inner.mlp(inner.norm2(seen))
        expected[k] = x[k] + seen.reshape(2, 4, 8)
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


# -- options and grids ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        dict(axis="spatial"),
        dict(axis="spatial", pool=(2, 2)),
        dict(reduce="mean_m"),
        dict(visual_guides=(0, 2)),
        dict(visual_guides=(0, 0)),
        dict(dilations=(1,)),
        dict(aux=False),
        dict(embed_kernel=1),
    ],
    ids=str,
)
def test_every_option_trains_and_slices_change_nothing(changes):
    alignment = aligned(Selection.everything(2, 7))
    decoder = small(chunk=3, **changes)
    expected = decoder(alignment).logits_BKHW.detach()
    with torch.no_grad():
        found = decoder(alignment).logits_BKHW
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    masks = decoder.train()(alignment)
    assert len(masks.aux) == (0 if changes.get("aux") is False else 2)
    sum(x.square().sum() for x in (masks.logits_BKHW, *masks.aux)).backward()
    assert all(p.grad is not None for p in decoder.parameters())


@pytest.mark.parametrize("scales", [(4, 2), (1, 1), (3, 5)])
@pytest.mark.parametrize("grid", [(6, 9), (1, 1)])
@torch.no_grad()
def test_any_grid(grid, scales):
    masks = small()(aligned(Selection.everything(1, 3), grid, scales))
    assert masks.logits_BKHW.shape[2:] == (4 * grid[0], 4 * grid[1])


@pytest.mark.parametrize("detach", [True, False])
def test_levels_get_a_gradient_only_if_configured(detach):
    alignment = aligned(Selection.everything(1, 3))
    for level in alignment.features.levels:
        level.requires_grad_()
    small(detach_levels=detach).train()(alignment).logits_BKHW.sum().backward()
    assert all((level.grad is None) == detach for level in alignment.features.levels)


@torch.no_grad()
def test_a_kept_category_is_guided_by_its_own_prompts():
    """Rows of the text's levels follow the selection, not the slot."""
    keep = torch.tensor([[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0]], dtype=torch.bool)
    alignment = aligned(Selection.from_mask(keep))
    decoder = small()
    before = decoder(alignment).logits_BKHW
    for level in alignment.text.levels:
        level[[1, 3]] = torch.randn_like(level[[1, 3]])
    after = decoder(alignment).logits_BKHW
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_bad_arguments_and_missing_prompts_are_named():
    with pytest.raises(ValueError, match="one level, width and pair"):
        small(guides=(4,))
    with pytest.raises(ValueError, match="axis to be one of class, spatial"):
        small(axis="channel")
    with pytest.raises(ValueError, match="odd embed_kernel, but got 4"):
        small(embed_kernel=4)
    alignment = aligned(Selection.everything(1, 3))
    bare = replace(alignment, text=replace(alignment.text, levels=()))
    with pytest.raises(ValueError, match="visual prompts of 2 scales, but the text has 0"):
        small()(bare)


# -- refinement's mixing -------------------------------------------------------------------------


@torch.no_grad()
def test_replacing_moves_the_named_rows_only():
    prompts = visual(4, [True, True, False, True])
    new, levels = torch.randn(2, C), tuple(torch.randn(2, dim) for dim in LEVELS)
    full = replace_prompts(prompts, [0, 2], new, levels)
    assert full.found_T.tolist() == [True, True, True, True]
    for m in range(M):
        torch.testing.assert_close(full.embeds_TPC[0, m], new[0])
        torch.testing.assert_close(full.levels[1][2, m], levels[1][1])
    torch.testing.assert_close(full.embeds_TPC[[1, 3]], prompts.embeds_TPC[[1, 3]])
    half = replace_prompts(prompts, [0, 2], new, levels, alpha=0.5)
    old = F.normalize(prompts.embeds_TPC[0, 0], dim=0)
    torch.testing.assert_close(half.embeds_TPC[0, 0], (old + F.normalize(new[0], dim=0)) / 2)
    torch.testing.assert_close(half.embeds_TPC[2, 0], new[1])


def test_mixed_precision():
    alignment, decoder = aligned(Selection.everything(1, 3)), small()
    exact = decoder(alignment).logits_BKHW
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = decoder(alignment).logits_BKHW
        with torch.no_grad():
            decoder(alignment)
    rough.float().sum().backward()
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()
