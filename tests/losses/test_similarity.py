"""Similarity loss of matched proposals against its written formula."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ovss.losses.similarity import similarity_loss


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
