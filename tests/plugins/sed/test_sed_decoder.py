"""GradualDecoder on grids, selections and precisions that the published model never sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.sed import GradualDecoder
from ovss_plugins.sed.rejection import EmbeddedHead, best_somewhere
from torch import nn

from ovss.axes import take
from ovss.benchmark.complexity import counted
from ovss.heads.cosine import CosineHead
from ovss.losses import BinaryCrossEntropy
from ovss.ops import resize
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures

LEVELS = (5, 6)


def small(**changes) -> GradualDecoder:
    torch.manual_seed(0)
    sizes = dict(cost_dim=3, dim=16, stage_dims=(12, 8), guides=(4, 4), kernel=3, heads=2, expand=2)
    return GradualDecoder(LEVELS, **{**sizes, **changes}).eval()


def aligned(
    selection: Selection, grid: tuple[int, int] = (4, 6), scales: tuple[int, int] = (4, 2)
) -> Alignment:
    batch = selection.batch
    dense = torch.randn(batch, 8, *grid)
    levels = tuple(
        torch.randn(batch, dim, grid[0] * scale, grid[1] * scale)
        for dim, scale in zip(LEVELS, scales)
    )
    text = F.normalize(torch.randn(selection.num_categories, 3, 8), dim=-1)
    image = ImageFeatures(dense, dense.mean((2, 3)), levels)
    return CosineHead(3)(image, TextFeatures(text), selection)


def one_image(alignment: Alignment, index: int, slots: list[int], keep_1T) -> Alignment:
    """Image `index` of a batch with its valid slots only."""
    one = take(alignment, B=slice(index, index + 1), K=torch.tensor(slots))
    return replace(one, selection=Selection.from_mask(keep_1T))


# -- shapes and slices ---------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(8, 8), (6, 9), (3, 11), (1, 1)])
@pytest.mark.parametrize("training", [False, True])
def test_any_grid(grid, training):
    masks = small(top_k=2).train(training)(aligned(Selection.everything(2, 4), grid))
    assert masks.logits_BKHW.shape[2:] == (4 * grid[0], 4 * grid[1])
    assert [aux.shape[2] for aux in masks.aux] == ([grid[0], 2 * grid[0]] if training else [])
    masks.logits_BKHW.sum().backward()
    assert torch.isfinite(masks.logits_BKHW).all()


@torch.no_grad()
def test_levels_of_any_size_are_narrowed_then_enlarged():
    """If both steps commute (one positive tap, positive levels), enlarged levels change nothing."""
    decoder, coarse = small(), aligned(Selection.everything(1, 3), scales=(1, 1))
    for narrow in decoder.level_guides:
        middle = narrow.weight[:, :, 1, 1].abs()
        narrow.weight.zero_()
        narrow.weight[:, :, 1, 1] = middle
        narrow.bias.abs_()
    image = coarse.features
    levels = tuple(level.abs() for level in image.levels)
    fine = tuple(resize(level, (scale * 4, scale * 6)) for level, scale in zip(levels, (4, 2)))
    found, expected = (
        decoder(replace(coarse, features=replace(image, levels=maps))).logits_BKHW
        for maps in (levels, fine)
    )
    assert found.shape[2:] == (16, 24)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("pool", [1, 2])
def test_slices_and_overwriting_change_nothing(chunk, pool):
    """Compares with the path with gradients, which does not overwrite maps."""
    alignment = aligned(Selection.everything(2, 7))
    decoder = small(chunk=chunk, pool=(pool, pool))
    cost = alignment.cost_BKDhw.clone()
    found = decoder(alignment).logits_BKHW
    with torch.enable_grad():
        expected = decoder(alignment).logits_BKHW.detach()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert torch.equal(alignment.cost_BKDhw, cost)


@torch.no_grad()
@pytest.mark.parametrize("top_k", [None, 1])
def test_padding_slots_and_batch_mates_are_as_if_absent(top_k):
    keep = torch.tensor([[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0]], dtype=torch.bool)
    alignment = aligned(Selection.from_mask(keep))
    alignment.cost_BKDhw[~alignment.selection.valid_BK] = torch.nan
    decoder = small(top_k=top_k)
    both = decoder(alignment)
    for i, slots in enumerate(([0, 1, 2], [0, 1, 2, 3, 4])):
        alone = decoder(one_image(alignment, i, slots, keep[i : i + 1]))
        assert torch.equal(both.selection.mask()[i], alone.selection.mask()[0])
        found, expected = (m.selection.scatter(m.logits_BKHW) for m in (both, alone))
        torch.testing.assert_close(found[i], expected[0], atol=1e-5, rtol=0)


def test_mixed_precision():
    alignment = aligned(Selection.everything(1, 3))
    decoder = small()
    exact = decoder(alignment).logits_BKHW
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = decoder(alignment).logits_BKHW
        with torch.no_grad():
            small(top_k=1)(alignment)
    rough.float().sum().backward()
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


# -- the rule of gradients, and the losses -------------------------------------------------------


def test_auxiliary_outputs_train_their_own_heads_and_nothing_else():
    alignment = aligned(Selection.everything(2, 3))
    leaves = (alignment.cost_BKDhw, *alignment.features.levels)
    for leaf in leaves:
        leaf.requires_grad_()
    decoder = small().train()
    sum(aux.square().sum() for aux in decoder(alignment).aux).backward()
    with_gradient = {name for name, p in decoder.named_parameters() if p.grad is not None}
    assert with_gradient == {f"aux_heads.{i}.{x}" for i in (0, 1) for x in ("weight", "bias")}
    assert all(leaf.grad is None for leaf in leaves)


def test_the_final_output_trains_the_rest_and_the_volume_but_no_level():
    alignment = aligned(Selection.everything(2, 3))
    leaves = (alignment.cost_BKDhw, *alignment.features.levels)
    for leaf in leaves:
        leaf.requires_grad_()
    decoder = small().train()
    decoder(alignment).logits_BKHW.square().sum().backward()
    without = {name for name, p in decoder.named_parameters() if p.grad is None}
    assert without == {f"aux_heads.{i}.{x}" for i in (0, 1) for x in ("weight", "bias")}
    assert leaves[0].grad.any()
    assert all(leaf.grad is None for leaf in leaves[1:])


def test_every_output_is_enlarged_and_has_a_loss_of_its_own():
    """Compares with the published binary cross-entropy, where unlabelled pixels are negative."""
    masks = small().train()(aligned(Selection.everything(2, 3)))
    labels = torch.randint(-1, 3, (2, 32, 48))
    losses = BinaryCrossEntropy()(masks, labels)
    target = torch.stack([(labels == category).float() for category in range(3)], dim=1)
    assert list(losses) == ["loss_mask", "loss_aux0", "loss_aux1"]
    for loss, logits in zip(losses.values(), (masks.logits_BKHW, *masks.aux), strict=True):
        logits = F.interpolate(logits, (32, 48), mode="bilinear", align_corners=False)
        expected = F.binary_cross_entropy_with_logits(logits, target)
        torch.testing.assert_close(loss, expected)


# -- early rejection -----------------------------------------------------------------------------


@torch.no_grad()
def test_rejecting_no_category_changes_no_bit():
    alignment = aligned(Selection.everything(2, 6))
    full = small()(alignment)
    for top_k in (5, 6, 100):
        found = small(top_k=top_k)(alignment)
        assert found.selection.mask().all()
        assert torch.equal(found.logits_BKHW, full.logits_BKHW)


@torch.no_grad()
def test_each_image_rejects_its_own():
    """Keeping the union of both images would keep more categories."""
    alignment = aligned(Selection.everything(2, 40))
    masks = small(top_k=1)(alignment)
    kept = masks.selection.mask()
    assert not torch.equal(kept[0], kept[1])
    assert masks.logits_BKHW.shape[1] == int(kept.sum(1).max()) < 40
    labels = masks.selection.scatter(masks.logits_BKHW, fill=-100).argmax(1)
    for i in range(2):
        assert kept[i][labels[i]].all()


def test_training_rejects_no_category():
    masks = small(top_k=1).train()(aligned(Selection.everything(1, 9)))
    assert masks.logits_BKHW.shape[1] == 9


@torch.no_grad()
@pytest.mark.parametrize("grid", [(6, 9), (1, 4), (2, 2)])
def test_the_first_head_without_the_embedding(grid):
    embed, head = nn.Conv2d(3, 8, 7, padding=3), nn.Conv2d(8, 1, 3, padding=1)
    x = torch.randn(5, 3, *grid)
    expected = head(embed(x)).squeeze(1)
    torch.testing.assert_close(EmbeddedHead(embed, head)(x), expected, atol=1e-5, rtol=0)


def test_best_somewhere_is_the_union_over_cells():
    logits = torch.tensor([[9.0, 0, 0], [1, 8, 2], [2, 7, 3], [0, 0, 0]])[:, None]
    assert best_somewhere(logits, 1).tolist() == [0, 1, 2]
    assert best_somewhere(logits[:, :, :2], 1).tolist() == [0, 1]
    assert best_somewhere(logits, 9).tolist() == [0, 1, 2, 3]


@torch.no_grad()
def test_a_category_rejected_at_the_first_head_costs_that_head_only():
    """Counts 9 channels of one convolution, without embedding, guidance or stage."""
    selection = Selection.everything(1, 24)
    alignment = aligned(selection)
    decoder = small(top_k=1)
    for part in (decoder.embed, *decoder.aux_heads):
        nn.init.constant_(part.weight, 0.01)  # a category scores as its cosines do
    flops = []
    for hopeless in (8, 20):
        cost = alignment.cost_BKDhw.clone().clamp(-0.5, 0.5)
        cost[:, :4] += 10
        cost[:, 4 : 4 + hopeless] -= 10
        keep = torch.arange(24)[None] < 4 + hopeless
        chosen = Selection.from_mask(keep)
        part = Alignment(cost[:, : 4 + hopeless], alignment.features, alignment.text, chosen)
        with counted() as counter:
            masks = decoder(part)
        assert masks.selection.index_BK.max() < 4
        flops.append(counter.get_total_flops())
    per_category = 2 * 9 * decoder.cost_dim * 7 * 7 * 4 * 6
    assert flops[1] - flops[0] == 12 * per_category


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guides": (4,)}, "one level, one width and one guidance for each stage"),
        ({"top_k": 0}, "top_k of at least 1, but got 0"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)
