"""Label maps from the categories that can win equal those of every category at full size."""

from __future__ import annotations

import pytest
import torch

from ovss.inference import best_labels, contenders
from ovss.inference.contenders import is_worth_pruning, pruned_labels
from ovss.selection import Selection
from ovss.structures import Scores, TextFeatures


def scores_of(probs_BKHW: torch.Tensor, valid_BK: torch.Tensor | None = None) -> Scores:
    batch, kept = probs_BKHW.shape[:2]
    valid_BK = torch.ones(batch, kept, dtype=torch.bool) if valid_BK is None else valid_BK
    index_BK = torch.arange(0, 3 * kept, 3).expand(batch, -1)
    text = TextFeatures(torch.rand(3 * kept, 1, 4))
    return Scores(probs_BKHW, Selection(index_BK, valid_BK, 3 * kept), None, text)


def compare(probs_1KHW: torch.Tensor, size: tuple[int, int], valid_1K=None) -> torch.Tensor:
    """Compares both ways and returns the label map."""
    scores = scores_of(probs_1KHW, valid_1K)
    slot_HW, best_HW = pruned_labels(probs_1KHW[0], scores.selection.valid_BK[0], size)
    labels_1HW, best_1HW = best_labels(scores, size, chunk=probs_1KHW.shape[1])
    assert torch.equal(3 * slot_HW, labels_1HW[0])
    torch.testing.assert_close(best_HW, best_1HW[0], rtol=2e-6, atol=1e-6)
    return labels_1HW[0]


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
        ((2, 2), (700, 3)),
        ((1, 1), (40, 50)),
        ((96, 96), (341, 256)),
    ],
)
@pytest.mark.parametrize("power", [1, 6])
def test_labels_equal_those_of_every_category(cells, size, power):
    generator = torch.Generator().manual_seed(0)
    probs_1KHW = torch.rand(1, 70, *cells, generator=generator) ** power
    compare(probs_1KHW, size, torch.rand(1, 70, generator=generator) > 0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0.0, -0.5, -3.0])
def test_scores_of_any_sign_and_smooth_maps(dtype, shift):
    generator = torch.Generator().manual_seed(1)
    coarse_1Khw = torch.randn(1, 40, 5, 6, generator=generator, dtype=dtype)
    probs_1KHW = torch.nn.functional.interpolate(coarse_1Khw, size=(40, 44), mode="bicubic")
    assert len(compare(probs_1KHW + shift, (150, 130)).unique()) > 10


def test_maps_that_differ_in_the_last_digit_have_the_labels_of_resized_maps():
    generator = torch.Generator().manual_seed(2)
    base_1HW = torch.rand(1, 20, 20, generator=generator)
    steps_KHW = torch.randint(-1, 2, (30, 20, 20), generator=generator)
    probs_KHW = base_1HW * (1 + steps_KHW * torch.finfo(torch.float32).eps)
    assert len(compare(probs_KHW[None], (97, 83)).unique()) > 10


def test_ties_go_to_the_lower_slot():
    assert not compare(torch.full((1, 5, 4, 4), 0.5), (300, 200)).any()
    probs_11HW = torch.rand(1, 1, 6, 6)
    twins_1KHW = torch.cat([probs_11HW - 1, probs_11HW, probs_11HW], 1)
    assert compare(twins_1KHW, (90, 90)).unique().tolist() == [3]


def test_saturated_scores_tie_as_before():
    generator = torch.Generator().manual_seed(3)
    compare((torch.randn(1, 20, 24, 24, generator=generator) * 20).sigmoid(), (120, 100))


def test_categories_of_padding_never_win():
    probs_1KHW = torch.rand(1, 6, 8, 8)
    probs_1KHW[:, 3] = 2.0
    valid_1K = torch.arange(6)[None] != 3
    assert 9 not in compare(probs_1KHW, (64, 64), valid_1K).unique()


def test_large_maps_are_pruned_image_by_image(monkeypatch):
    monkeypatch.setattr(contenders, "PLAIN", 0)
    generator = torch.Generator().manual_seed(4)
    probs_BKHW = torch.rand(3, 30, 9, 9, generator=generator)
    valid_BK = torch.rand(3, 30, generator=generator) > 0.3
    scores = scores_of(probs_BKHW, valid_BK)
    labels_BHW, best_BHW = best_labels(scores, (50, 40))
    expected_BHW, expected_best_BHW = best_labels(scores, (50, 40), chunk=30)
    assert torch.equal(labels_BHW, expected_BHW)
    torch.testing.assert_close(best_BHW, expected_best_BHW, rtol=2e-6, atol=0)


def test_few_or_unsuitable_scores_are_resized_as_a_whole():
    assert is_worth_pruning(torch.empty(1, 847, 96, 96), (512, 512))
    assert not is_worth_pruning(torch.empty(1, 6, 24, 24), (96, 96)), "small"
    assert is_worth_pruning(torch.empty(1, 847, 640, 640), (512, 683)), "a canvas"
    assert not is_worth_pruning(torch.empty(1, 847, 512, 512), (512, 512)), "not resized"
    assert not is_worth_pruning(torch.empty(1, 847, 640, 640), (256, 256)), "made small"
    half = torch.empty(1, 847, 96, 96, dtype=torch.bfloat16)
    assert not is_worth_pruning(half, (512, 512)), "rounded after resizing"
    assert not is_worth_pruning(torch.empty(1, 847, 96, 96, device="meta"), (512, 512))
