"""Label maps block by block equal those of every category at full size."""

from __future__ import annotations

import pytest
import torch

from ovss.api.labelling import labels_in_blocks
from ovss.inference import best_labels
from ovss.selection import Selection
from ovss.structures import Scores, TextFeatures


@pytest.mark.parametrize(
    ("cells", "size"),
    [
        ((9, 11), (64, 80)),
        ((12, 12), (500, 403)),
        ((3, 40), (150, 90)),
        ((64, 80), (64, 80)),
        ((50, 60), (33, 7)),
        ((1, 5), (70, 9)),
        ((5, 1), (1, 200)),
        ((2, 2), (1, 1)),
    ],
)
@pytest.mark.parametrize("power", [1, 6])
def test_blocks_agree_with_every_category_at_full_size(cells, size, power):
    generator = torch.Generator().manual_seed(0)
    count = 70
    probs_1KHW = torch.rand(1, count, *cells, generator=generator) ** power
    valid_1K = torch.rand(1, count, generator=generator) > 0.2
    index_1K = torch.arange(0, 3 * count, 3)[None]
    selection = Selection(index_1K, valid_1K, 3 * count)
    scores = Scores(probs_1KHW, selection, None, TextFeatures(torch.rand(3 * count, 1, 4)))
    labels, best = labels_in_blocks(scores, size)
    expected_labels, expected_best = best_labels(scores, size)
    torch.testing.assert_close(best, expected_best, rtol=1e-4, atol=1e-6)
    differ = labels != expected_labels
    assert differ.float().mean() < 1e-3, "only where two categories tie up to rounding"
    assert labels.shape == (1, *size)


def test_ties_go_to_the_lower_index():
    probs = torch.full((1, 5, 4, 4), 0.5)
    selection = Selection.everything(1, 5)
    labels, _ = labels_in_blocks(
        Scores(probs, selection, None, TextFeatures(torch.rand(5, 1, 4))), (300, 200)
    )
    assert not labels.any()
