"""Selections against sorted lists in plain Python."""

from __future__ import annotations

import pytest
import torch

from ovss.selectors import ClipTopK
from ovss.structures import IGNORE, ImageFeatures, Selection, TextFeatures


@pytest.mark.parametrize("seed", range(10))
def test_top_k_keeps_what_must_stay_and_then_the_highest_scores(seed):
    torch.manual_seed(seed)
    scores_BT = 10 * torch.randn(3, 12)  # some scores are above 1
    keep_BT = torch.rand(3, 12) < 0.2
    k = 1 + seed % 5
    selection = Selection.top_k(scores_BT, k, keep_BT)
    most = max(k, max(sum(row) for row in keep_BT.tolist()))
    for kept, scores, must in zip(selection.index_BK.tolist(), scores_BT.tolist(), keep_BT):
        order = sorted(range(12), key=lambda t: (not must[t], -scores[t]))
        assert kept == sorted(order[:most])
    assert selection.full
    assert torch.equal(selection.scores_BT, scores_BT)


def test_labels_become_slots_where_the_first_category_is_kept():
    selection = Selection.from_mask(torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.bool))
    labels = torch.tensor([[[0, 1, 2, IGNORE]], [[0, 1, 2, IGNORE]]])
    assert selection.localize(labels).tolist() == [
        [[0, IGNORE, 1, IGNORE]],
        [[IGNORE, 0, IGNORE, IGNORE]],
    ]


def test_a_narrowed_selection_has_the_categories_and_scores_of_its_slots():
    keep_BT = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 1]], dtype=torch.bool)
    scores_BT = torch.rand(2, 4)
    selection = Selection.from_mask(keep_BT, scores_BT)
    narrow, _ = selection.narrow(torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=torch.bool))
    kept = [
        [index for index, ok in zip(row, valid) if ok]
        for row, valid in zip(narrow.index_BK.tolist(), narrow.valid_BK.tolist())
    ]
    assert kept == [[2, 3], [0]]
    assert torch.equal(narrow.scores_BT, scores_BT)
    assert narrow.num_categories == 4


def features(names: int) -> tuple[ImageFeatures, TextFeatures]:
    """A cell for each of the first two axes, and text embeddings that fall off with the index."""
    dense_BChw = torch.eye(2)[None, :, None]
    angle_T = torch.linspace(0.1, 0.7, names)
    embeds_T1C = torch.stack([angle_T.cos(), angle_T.sin()], dim=1)[:, None]
    return ImageFeatures(dense_BChw, torch.ones(1, 2)), TextFeatures(embeds_T1C)


def test_the_clip_selector_truncates_differently_in_training():
    image, text = features(6)
    selector = ClipTopK(k=2, train_k=4)
    # the best cosine of a category is cos(angle) at one cell or sin(angle) at the other
    assert selector.eval()(image, text).index_BK.tolist() == [[0, 1]]
    assert selector.train()(image, text).index_BK.tolist() == [[0, 1, 2, 3]]
    keep_BT = torch.tensor([[0, 0, 0, 0, 0, 1]], dtype=torch.bool)
    assert selector(image, text, keep_BT).index_BK.tolist() == [[0, 1, 2, 5]]


def test_a_vocabulary_of_k_categories_is_kept_whole_and_unscored():
    image, text = features(4)
    for k, scored in ((4, False), (5, False), (3, True)):
        selection = ClipTopK(k).eval()(image, text)
        assert selection.index_BK.shape[1] == min(k, 4)
        assert (selection.scores_BT is not None) == scored
