"""PCADecoder: parallel blocks, statistics over valid categories, its loss."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.pca_seg import PCADecoder
from ovss_plugins.pca_seg.batch_norm import RankBatchNorm
from ovss_plugins.pca_seg.decoder import overlap
from torch import nn

from ovss.benchmark.complexity import on_meta
from ovss.heads.cosine import CosineHead
from ovss.models.configs import load_config
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


def small(**changes) -> PCADecoder:
    torch.manual_seed(0)
    arguments = dict(joint_dim=8, level_dims=(6, 5), dim=16, guide_dim=8, heads=2, window=4,
                     expand=2, level_middle=(8, 4), level_guides=(4, 4), stage_dims=(8, 8),
                     pad_length=9, layers=1, gate_dim=4)  # fmt: skip
    decoder = PCADecoder(**{**arguments, **changes})
    for parameter in decoder.parameters():
        if not parameter.any():
            nn.init.normal_(parameter)
    return decoder


def aligned(selection: Selection, grid: tuple[int, int] = (6, 9)) -> Alignment:
    torch.manual_seed(1)
    dense, *levels = (torch.randn(selection.batch, channels, *grid) for channels in (8, 6, 5))
    text = F.normalize(torch.randn(selection.num_categories, 1, 8), dim=-1)
    image = ImageFeatures(dense, dense.mean((2, 3)), tuple(levels))
    return CosineHead()(image, TextFeatures(text), selection)


@pytest.mark.parametrize(
    ("size", "aggregator", "total"),
    [("b16", 5_060_085, 157_040_502), ("l14", 5_387_765, 436_478_070)],
)
def test_parameters(size, aggregator, total):
    """The published numbers of the aggregator leave the enlarging of the levels out."""
    model = on_meta(load_config(f"pca_seg_vit-{size}"))
    enlarge = sum(p.numel() for guide in model.decoder.guides for p in guide.enlarge.parameters())
    assert sum(p.numel() for p in model.decoder.parameters()) - enlarge == aggregator
    assert sum(p.numel() for p in model.parameters()) == total
    fusion = model.decoder.layers[0].fusion
    assert sum(p.numel() for p in fusion.parameters()) == 349_221


def test_statistics_are_those_of_the_valid_categories_of_all_images():
    """Padding slots are left out, and every map of the batch counts once."""
    keep_BT = torch.tensor([[1, 0, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    decoder, seen = small().train(), []
    norm = decoder.layers[0].fusion.norm
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    batch = aligned(Selection.from_mask(keep_BT))
    batch.cost_BKDhw[~batch.selection.valid_BK] = torch.nan
    masks = decoder(batch)
    assert torch.isfinite(masks.losses["loss_overlap"])
    assert seen[0].shape[0] == 7 * 6 * 9
    torch.testing.assert_close(norm.running_mean, 0.1 * seen[0].mean(0), atol=1e-5, rtol=1e-4)


def test_the_loss_is_the_squared_cosine_of_the_streams():
    both = torch.tensor([[3.0, 4.0, 4.0, 3.0], [1.0, 0.0, 0.0, 2.0]]).view(1, 1, 2, 4)
    assert float(overlap(both)) == pytest.approx((0.96**2 + 0) / 2, rel=1e-4)
    decoder, batch = small(), aligned(Selection.everything(1, 3))
    weighted = decoder.train()(batch).losses["loss_overlap"]
    weighted.backward()
    assert 0 < float(weighted) <= 0.001
    assert not small(overlap_weight=0.0).train()(batch).losses
    assert not decoder.eval()(batch).losses


def test_every_parameter_learns():
    decoder = small().train()
    decoder(aligned(Selection.everything(2, 12))).logits_BKHW.square().sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_chunks_change_nothing():
    batch = aligned(Selection.everything(2, 5))
    whole, parts = (small(chunk=chunk).eval()(batch).logits_BKHW for chunk in (100, 2))
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_one_row_is_normalised_by_the_running_statistics():
    norm = RankBatchNorm(3).train()
    assert torch.allclose(norm(torch.ones(1, 3)), torch.ones(1, 3), atol=1e-4)
