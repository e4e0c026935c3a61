"""Feature surgery against the paper's formula with all products of cell, category and channel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from ovss_plugins.training_free import FeatureSurgeryHead

from ovss.structures import ImageFeatures, Selection, TextFeatures


def inputs(batch=2, categories=5, channels=8):
    image = ImageFeatures(torch.randn(batch, channels, 3, 4), torch.randn(batch, channels))
    return image, TextFeatures(F.normalize(torch.randn(categories, 3, channels), dim=2))


def test_equals_the_papers_products():
    image, text = inputs()
    volume = FeatureSurgeryHead(2.0)(image, text, Selection.everything(2, 5)).cost_BKDhw
    text_TC = F.normalize(text.embeds_TPC.mean(1), dim=1)
    for b in range(2):
        cells_NC = F.normalize(image.dense_BChw[b].flatten(1).T, dim=1)
        similar_T = (2 * F.normalize(image.pooled_BC[b], dim=0) @ text_TC.T).softmax(0)
        products_NTC = cells_NC[:, None] * text_TC[None] * (similar_T / similar_T.mean())[:, None]
        expected_NT = (products_NTC - products_NTC.mean(1, keepdim=True)).sum(2)
        torch.testing.assert_close(volume[b, :, 0].flatten(1).T, expected_NT)


def test_only_kept_categories_count():
    image, text = inputs()
    keep = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], dtype=torch.bool)
    volume = FeatureSurgeryHead()(image, text, Selection.from_mask(keep)).cost_BKDhw
    few = TextFeatures(text.embeds_TPC[[0, 2, 3]])
    alone = FeatureSurgeryHead()(image, few, Selection.everything(2, 3)).cost_BKDhw
    torch.testing.assert_close(volume[0], alone[0])
    assert volume[1, 0].abs().max() < 1e-6, "a single category has a volume of zero"
    assert volume.isfinite().all()
