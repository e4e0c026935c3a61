"""Proposer of learned queries: laws, its attention and embeddings against plain formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from composed import region_method

from ovss.proposers import QueryProposer
from ovss.proposers.query import MaskedLayer, _inside
from ovss.structures import ImageFeatures, Padding
from ovss.testing import LAWS, loss_and_prediction_work
from ovss.testing.tiny import make_images

SIZES = dict(joint_dim=16, level_dims=(8, 12), dim=16, queries=5, layers=3, heads=2, expand=2)


def proposer(**changes):
    torch.manual_seed(1)
    return QueryProposer(**{**SIZES, "stem_dims": (4, 8), **changes}).eval()


def features(batch=2, grid=(6, 5)):
    generator = torch.Generator().manual_seed(2)
    dense, one, two = (torch.randn(batch, c, *grid, generator=generator) for c in (16, 8, 12))
    return ImageFeatures(dense, dense.mean((2, 3)), (one, two))


@pytest.mark.parametrize("embedding", ["query", "residual"])
def test_laws(embedding):
    config = dict(type="QueryProposer", **SIZES, stem_dims=(4, 8), embedding=embedding)
    for law in LAWS:
        law(region_method(config, (8, 12), level_scales=(1, 2)))
    loss_and_prediction_work(region_method(config, (8, 12)))


@pytest.mark.parametrize(("stem", "scale"), [((), 1), ((4,), 2), ((4, 8), 4)])
def test_masks_are_finer_than_the_grid_by_a_factor_of_two_for_each_stage(stem, scale):
    found = proposer(stem_dims=stem)(features(), make_images(2, 50))
    assert found.mask_BQhw.shape == (2, 5, 6 * scale, 5 * scale)
    assert found.embed_BQSC.shape == (2, 5, 1, 16)
    assert found.earlier == ()


def test_every_layer_is_supervised_in_training_and_the_last_one_is_the_result():
    model = proposer()
    image = features()
    last = model(image, make_images(2))
    trained = model.train()(image, make_images(2))
    assert len(trained.earlier) == 3
    assert torch.allclose(trained.mask_BQhw, last.mask_BQhw, atol=1e-5)
    assert torch.allclose(trained.embed_BQSC, last.embed_BQSC, atol=1e-5)


def test_the_residual_embedding_starts_from_the_mean_token_of_the_mask():
    model = proposer(embedding="residual")
    torch.nn.init.zeros_(model.embed_head[-1].weight)
    torch.nn.init.zeros_(model.embed_head[-1].bias)
    image = features(grid=(6, 6))
    found = model(image, make_images(2))
    inside = F.adaptive_avg_pool2d((found.mask_BQhw > 0).float(), (6, 6))
    mean = torch.einsum("bqhw,bchw->bqc", inside, image.dense_BChw)
    assert torch.allclose(found.embed_BQSC[:, :, 0], F.normalize(mean, dim=2), atol=1e-5)


def test_queries_attend_inside_their_masks_only():
    torch.manual_seed(0)
    layer = MaskedLayer(16, 2, 2)
    query, place, cells = torch.randn(1, 3, 16), torch.randn(3, 16), torch.randn(1, 16, 4, 4)
    allowed = torch.zeros(1, 3, 16, dtype=torch.bool)
    allowed[:, :, :5] = True
    changed = cells.flatten(2)
    changed[:, :, 5:] = 100.0
    one = layer(query, place, cells, allowed)
    assert torch.allclose(one, layer(query, place, changed.view(1, 16, 4, 4), allowed), atol=1e-6)


def test_cells_of_positive_logits_are_inside_and_all_if_there_is_none():
    logits = torch.tensor([[[[1.0, -1.0], [-2.0, 3.0]], [[-1.0, -1.0], [0.0, -4.0]]]])
    allowed = _inside(logits, torch.zeros(1, 16, 2, 2))
    assert allowed.tolist() == [[[True, False, False, True], [True] * 4]]


def test_a_mask_without_a_cell_leaves_the_attention_open():
    model = proposer()
    with torch.no_grad():
        model.mask_features.bias.fill_(0)
        model.mask_features.weight.fill_(0)  # every mask logit is 0, so no cell is inside
    found = model(features(), make_images(2))
    assert torch.isfinite(found.embed_BQSC).all()


def test_padding_is_not_image():
    """The stem sees padding where the encoder padded, and the masks say so."""
    padding = Padding((48, 40), (40, 33))
    image = replace(features(), padding=padding)
    small = make_images(2, 64)
    found = proposer()(image, small)
    assert found.padding == padding
    fit = F.interpolate(small, (40, 33), mode="bilinear")
    padded = F.pad(fit - 128, (0, 7, 0, 8)) + 128
    by_hand = proposer()(replace(image, padding=None), padded)
    assert torch.allclose(found.mask_BQhw, by_hand.mask_BQhw, atol=1e-4)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"embedding of .*got 'mean'"):
        proposer(embedding="mean")
    with pytest.raises(ValueError, match="divisible by heads, got 'query', 16 and 3"):
        proposer(heads=3)
    with pytest.raises(ValueError, match="queries must be at least 1"):
        proposer(queries=0)
