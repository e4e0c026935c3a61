"""CATSegDecoder on grids, selections and precisions that the published model never sees."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.cat_seg import CATSegDecoder
from torch import Tensor, nn

from ovss.axes import take
from ovss.heads.cosine import CosineHead
from ovss.layers.guided import GuidedQKV
from ovss.layers.windows import WindowGrid
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


def small(**changes) -> CATSegDecoder:
    torch.manual_seed(0)
    arguments = dict(joint_dim=8, level_dims=(6, 5), dim=16, heads=2, window=4, expand=2)
    sizes = dict(level_middle=(8, 4), level_guides=(4, 4), stage_dims=(8, 8), pad_length=9)
    decoder = CATSegDecoder(**{**arguments, **sizes, **changes})
    for parameter in decoder.parameters():
        if not parameter.any():
            nn.init.normal_(parameter)
    return decoder.eval()


def aligned(selection: Selection, grid: tuple[int, int]) -> Alignment:
    batch = selection.batch
    dense, *levels = (torch.randn(batch, channels, *grid) for channels in (8, 6, 5))
    text = F.normalize(torch.randn(selection.num_categories, 1, 8), dim=-1)
    image = ImageFeatures(dense, dense.mean((2, 3)), tuple(levels))
    return CosineHead()(image, TextFeatures(text), selection)


GRIDS = [(8, 8), (4, 4), (6, 9), (3, 11), (1, 1), (2, 5)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("training", [False, True])
def test_any_grid(grid, training):
    masks = small().train(training)(aligned(Selection.everything(2, 3), grid))
    assert masks.logits_BKHW.shape == (2, 3, 4 * grid[0], 4 * grid[1])
    masks.logits_BKHW.sum().backward()
    assert torch.isfinite(masks.logits_BKHW).all()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shift", [0, 2])
def test_windows_attend_as_if_padding_and_other_regions_were_absent(grid, shift):
    """Compares with attention over the real cells of each window, without padding or rolling."""
    windows = WindowGrid.of(*grid, 4, shift)
    height, width, heads = *grid, 2
    x_hwc = torch.randn(height, width, 6)
    split = windows.split(x_hwc[None], heads)
    seen = F.scaled_dot_product_attention(split, split, split, attn_mask=windows.mask(heads, x_hwc))
    found_hwc = windows.merge(seen, heads)[0]

    row_group, column_group = (
        torch.div(
            torch.arange(side) + (window - move if move else 0), window, rounding_mode="floor"
        )
        for side, window, move in zip(grid, windows.window, windows.shift)
    )
    group_N = (row_group[:, None] * 100 + column_group[None]).flatten()
    expected = torch.empty(height * width, 6)
    for group in group_N.unique():
        cells = group_N == group
        own = x_hwc.flatten(0, 1)[cells].unflatten(1, (heads, 3)).transpose(0, 1)
        out = F.scaled_dot_product_attention(own, own, own)
        expected[cells] = out.transpose(0, 1).flatten(1)
    torch.testing.assert_close(found_hwc.flatten(0, 1), expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_chunks_change_nothing(chunk):
    alignment = aligned(Selection.everything(2, 5), (6, 9))
    whole = small()(alignment).logits_BKHW
    found = small(chunk=chunk)(alignment).logits_BKHW
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_slots_are_as_if_absent():
    """Learned tokens join the valid categories; the content of padding slots is ignored."""
    keep = torch.tensor([[1, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]], dtype=torch.bool)
    alignment = aligned(Selection.from_mask(keep), (6, 9))
    padding = ~alignment.selection.valid_BK
    alignment.cost_BKDhw[padding] = torch.nan
    decoder = small()
    found = decoder(alignment).logits_BKHW
    one = take(alignment, B=slice(0, 1), K=slice(0, 2))
    alone = decoder(one)
    torch.testing.assert_close(found[:1, :2], alone.logits_BKHW, atol=1e-5, rtol=0)
    assert (found[0, 2:] == 0).all()


def test_every_parameter_learns_with_few_and_many_categories():
    for count in (3, 12):
        decoder = small().train()
        decoder(
            aligned(Selection.everything(2, count), (8, 8))
        ).logits_BKHW.square().sum().backward()
        without = [name for name, p in decoder.named_parameters() if p.grad is None]
        assert not without


def test_gradients_reach_the_encoder():
    alignment = aligned(Selection.everything(1, 3), (8, 8))
    leaves = (alignment.features.dense_BChw, *alignment.features.levels, alignment.cost_BKDhw)
    for leaf in leaves:
        leaf.requires_grad_()
    small().train()(alignment).logits_BKHW.square().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.any() for leaf in leaves)


def test_several_prompts_enter_as_channels():
    decoder = small(cost_dim=3)
    assert decoder.embed.in_channels == decoder.cost_dim == 3


def test_mixed_precision():
    alignment = aligned(Selection.everything(1, 3), (8, 8))
    decoder = small()
    exact = decoder(alignment).logits_BKHW
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = decoder(alignment).logits_BKHW
    rough.float().sum().backward()
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_guidance_halves_add_up():
    attention = GuidedQKV(6, 3)
    x, guide = torch.randn(4, 5, 6), torch.randn(5, 3)
    query, key, value = attention(x, attention.offset(guide)).chunk(3, dim=-1)
    both: Tensor = torch.cat([x, guide.expand(4, 5, 3)], dim=-1)
    torch.testing.assert_close(query, attention.query(both))
    torch.testing.assert_close(key, attention.key(both))
    torch.testing.assert_close(value, attention.value(x))


def test_wrong_number_of_levels():
    with pytest.raises(ValueError, match="two tapped levels"):
        small(level_dims=(6, 5, 4))
