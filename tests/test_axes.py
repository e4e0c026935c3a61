"""Records slice themselves by the axes in their field names."""

from __future__ import annotations

import pytest
import torch

from ovss.axes import take
from ovss.structures import Alignment, ImageFeatures, Masks, Selection, TextFeatures


def alignment() -> Alignment:
    features = ImageFeatures(
        torch.randn(3, 4, 2, 5),
        torch.randn(3, 4),
        (torch.randn(3, 6, 2, 5), torch.randn(3, 7, 4, 10)),
        torch.rand(3, 10, 10),
    )
    keep_BT = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    selection = Selection.from_mask(keep_BT, torch.rand(3, 4))
    text = TextFeatures(torch.randn(4, 2, 4))
    return Alignment(torch.randn(3, 3, 1, 2, 5), features, text, selection)


def test_one_image_of_everything_that_has_the_axis():
    whole = alignment()
    one = take(whole, B=slice(1, 2))
    assert torch.equal(one.cost_BKDhw, whole.cost_BKDhw[1:2])
    assert torch.equal(one.features.levels[1], whole.features.levels[1][1:2])
    assert torch.equal(one.features.attention_BNN, whole.features.attention_BNN[1:2])
    assert one.features.class_attention_BMhw is None
    assert torch.equal(one.selection.scores_BT, whole.selection.scores_BT[1:2])
    assert one.selection.num_categories == 4
    assert one.text is whole.text
    assert one.raw_BKPhw is None


def test_several_axes_and_index_tensors():
    whole = alignment()
    part = take(whole, B=torch.tensor([2, 0]), K=slice(0, 1))
    assert part.cost_BKDhw.shape == (2, 1, 1, 2, 5)
    assert part.selection.index_BK.tolist() == [[3], [0]]


def test_tuples_follow_their_leading_axes():
    masks = Masks(torch.randn(2, 3, 8, 8), Selection.everything(2, 3), (torch.randn(2, 3, 4, 4),))
    part = take(masks, B=slice(0, 1), K=slice(1, 3))
    assert torch.equal(part.aux[0], masks.aux[0][:1, 1:])


def test_an_axis_that_no_field_has():
    with pytest.raises(ValueError, match="Alignment has no field with the axis X"):
        take(alignment(), X=slice(0, 1))


def test_a_level_of_another_batch():
    with pytest.raises(ValueError, match=r"ImageFeatures.levels has shape .*: B is 3 here but 2"):
        ImageFeatures(torch.zeros(2, 4, 2, 2), torch.zeros(2, 4), (torch.zeros(3, 1, 2, 2),))
