from __future__ import annotations

import pytest
import torch

from ovss.structures import IGNORE, ImageFeatures, Selection, TextFeatures, Vocabulary


@pytest.fixture
def ragged():
    keep_BT = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0]], dtype=torch.bool)
    return Selection.from_mask(keep_BT)


def test_from_mask_keeps_the_true_categories(ragged):
    assert ragged.index_BK.tolist() == [[1, 3, 4], [2, 0, 0]]
    assert ragged.valid_BK.sum(1).tolist() == [3, 1]
    assert ragged.mask().tolist() == [
        [False, True, False, True, True],
        [False, False, True, False, False],
    ]


def test_pack_and_unpack_are_inverse(ragged):
    x_BK = torch.arange(12.0).view(2, 3, 2)
    packed = ragged.pack(x_BK)
    assert packed.shape == (4, 2)
    back = ragged.unpack(packed, fill=-1.0)
    assert torch.equal(back[ragged.valid_BK], x_BK[ragged.valid_BK])
    assert (back[~ragged.valid_BK] == -1).all()
    full = Selection.everything(2, 3)
    assert torch.equal(full.unpack(full.pack(x_BK)), x_BK)


def test_gather_and_scatter(ragged):
    rows = torch.arange(5.0)
    assert ragged.gather(rows)[0].tolist() == [1, 3, 4]
    assert ragged.scatter(ragged.gather(rows), fill=-1.0).tolist() == [
        [-1, 1, -1, 3, 4],
        [-1, -1, 2, -1, -1],
    ]


def test_scatter_into_category_zero_is_not_overwritten_by_padding():
    keep_BT = torch.tensor([[1, 0, 0], [1, 1, 1]], dtype=torch.bool)
    s = Selection.from_mask(keep_BT)
    x_BK = torch.tensor([[5.0, 6.0, 7.0], [1.0, 2.0, 3.0]])
    assert s.scatter(x_BK).tolist() == [[5, 0, 0], [1, 2, 3]]


def test_localize(ragged):
    labels = torch.tensor([[[1, 3, 4, IGNORE, 0]], [[2, 1, IGNORE, 4, 2]]])
    assert ragged.localize(labels).tolist() == [[[0, 1, 2, -1, -1]], [[0, -1, -1, -1, 0]]]


def test_top_k_keeps_ground_truth_first():
    scores_BT = torch.tensor([[0.9, 0.1, 0.5, 0.7]])
    keep_BT = torch.tensor([[False, True, False, False]])
    assert Selection.top_k(scores_BT, 2).index_BK.tolist() == [[0, 3]]
    assert Selection.top_k(scores_BT, 2, keep_BT).index_BK.tolist() == [[0, 1]]
    assert Selection.top_k(scores_BT, 1, torch.ones(1, 4, dtype=torch.bool)).full
    assert Selection.top_k(scores_BT, 99).index_BK.shape == (1, 4)


def test_union_of_a_batch_needs_no_further_number(ragged):
    assert Selection.union([ragged]).index_BK.tolist() == [[1, 2, 3, 4]]
    assert Selection.union([ragged, Selection.everything(1, 5)]).counts == (5,)
    keep_BK = torch.tensor([[True, False, True], [True, True, True]])
    narrow, _ = ragged.narrow(keep_BK)
    assert Selection.union([narrow]).index_BK.tolist() == [[1, 2, 4]]
    again, _ = ragged.narrow(keep_BK, counts_B=[2, 1])
    assert Selection.union([again]).index_BK.tolist() == [[1, 2, 4]]


def test_slices_know_their_own_number(ragged):
    from ovss.axes import take

    second = take(ragged, B=slice(1, 2))
    assert second.counts == (1,)
    assert second.slot_N.tolist() == [0]
    assert Selection.union([second]).index_BK.tolist() == [[2]]
    swapped = take(ragged, B=torch.tensor([1, 0]))
    assert swapped.counts == (1, 3)
    assert take(ragged, K=slice(0, 2)).counts == (2, 1)


def test_narrow_says_where_the_slots_were(ragged):
    keep_BK = torch.tensor([[True, False, True], [True, True, True]])
    narrow, slot_BK = ragged.narrow(keep_BK)
    assert narrow.category_N.tolist() == [1, 4, 2]
    assert narrow.pack(slot_BK).tolist() == [0, 2, 0]


def test_an_image_must_keep_something():
    with pytest.raises(ValueError, match="Image 1 of the batch keeps no category"):
        Selection.from_mask(torch.tensor([[True, False], [False, False]]))


def test_records_check_their_shapes():
    dense = torch.zeros(2, 4, 3, 3)
    with pytest.raises(ValueError, match=r"ImageFeatures\.pooled_BC.*C is 5 here but 4"):
        ImageFeatures(dense, torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"expected 2 axes"):
        ImageFeatures(dense, torch.zeros(2, 4, 1))
    with pytest.raises(ValueError, match="3 text embeddings for 1 categories"):
        TextFeatures(torch.zeros(3, 1, 4), vocabulary=Vocabulary(("cat",)))


def test_vocabulary_refuses_what_cannot_be_prompted():
    with pytest.raises(ValueError, match="at least one category"):
        Vocabulary(())
    with pytest.raises(ValueError, match="exactly one"):
        Vocabulary(("cat",), templates=("a photo",))
    with pytest.raises(ValueError, match="synonyms must be"):
        Vocabulary(("cat",), synonyms="last")
