"""Similarity loss of matched proposals against its written formula."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ovss.losses import SetMatching
from ovss.losses.similarity import similarity_loss
from ovss.structures import (
    ImageFeatures,
    Proposals,
    RegionAlignment,
    RegionMasks,
    Selection,
    TextFeatures,
)


def test_mean_over_the_images_of_the_squared_differences():
    torch.manual_seed(0)
    embed_BQC = torch.randn(3, 6, 5, dtype=torch.double, requires_grad=True)
    unit_TC = F.normalize(torch.randn(4, 5, dtype=torch.double), dim=1)
    none = torch.zeros(0, dtype=torch.long)
    pairs = [
        (torch.tensor([0, 3, 5]), torch.tensor([2, 0, 3])),
        (none, none),
        (torch.tensor([1]), torch.tensor([1])),
    ]
    found = similarity_loss(embed_BQC, unit_TC, pairs)
    total = 0.0
    for embed_QC, (queries, categories) in zip(embed_BQC, pairs, strict=True):
        for q, t in zip(queries.tolist(), categories.tolist(), strict=True):
            for r, u in zip(queries.tolist(), categories.tolist(), strict=True):
                difference = embed_QC[q] @ embed_QC[r] - unit_TC[t] @ unit_TC[u]
                total += difference.item() ** 2 / len(queries) ** 2
    assert abs(found.item() - total / 3) < 1e-12
    found.backward()
    assert not embed_BQC.grad[1].any()
    assert similarity_loss(embed_BQC, unit_TC, [(none, none)] * 3) == 0


def test_set_matching_compares_the_matched_proposals_with_their_texts():
    """Proposal 2 matches category 1 and proposal 0 category 3; proposal 1 matches nothing."""
    torch.manual_seed(0)
    labels_BHW = torch.full((1, 8, 8), 1)
    labels_BHW[:, :, 4:] = 3
    mask_BQhw = torch.full((1, 3, 8, 8), -9.0)
    mask_BQhw[:, 0, :, 4:] = mask_BQhw[:, 2, :, :4] = 9.0
    embed_BQSC = torch.randn(1, 3, 1, 5)
    text = TextFeatures(F.normalize(torch.randn(6, 2, 5), dim=2))
    selection = Selection.from_mask(torch.tensor([[False, True, True, True, False, False]]))
    proposals = Proposals(mask_BQhw, embed_BQSC, torch.ones(1, 3, dtype=torch.bool))
    image = ImageFeatures(torch.zeros(1, 5, 1, 1), torch.zeros(1, 5), proposals=proposals)
    aligned = RegionAlignment(torch.zeros(1, 3, 3), torch.zeros(1, 3), image, text, selection)
    masks = RegionMasks(torch.ones(1, 3, 3) / 4, mask_BQhw, selection, aligned=aligned)
    losses = SetMatching(points=64, similarity_weight=10.0)(masks, labels_BHW)
    chosen, texts = embed_BQSC[0, [0, 2], 0], F.normalize(text.mean_TC, dim=1)[[3, 1]]
    expected = 10 * F.mse_loss(chosen @ chosen.T, texts @ texts.T)
    torch.testing.assert_close(losses["loss_similarity"], expected)
    assert "loss_similarity" not in SetMatching(points=64)(masks, labels_BHW)
